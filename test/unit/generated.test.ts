import { join } from 'node:path'
import { expect, it } from 'vitest'
import { root } from '../support/cli.ts'
import { metricsDocument } from '../support/metrics-document.ts'

/** What is made from the code and committed: `npm run generate` makes it anew. */
it('docs/metrics.md is up to date', async () => {
  await expect(metricsDocument()).toMatchFileSnapshot(join(root, 'docs/metrics.md'))
})
