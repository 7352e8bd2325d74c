import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { dashboardJson } from '../../deploy/grafana/source/dashboard.ts'
import { dashboards } from '../../deploy/grafana/source/dashboards.ts'
import { root } from '../support/cli.ts'
import { metricsDocument } from '../support/metrics-document.ts'

/** What is made from the code and committed: `npm run generate` makes it anew. */
describe('up to date with the code', () => {
  it('is docs/metrics.md', async () => {
    await expect(metricsDocument()).toMatchFileSnapshot(join(root, 'docs/metrics.md'))
  })

  for (const [name, dashboard] of Object.entries(dashboards))
    it(`is the dashboard ${name}`, async () => {
      const path = join(root, 'deploy/grafana/dashboards', `${name}.json`)
      await expect(dashboardJson(dashboard)).toMatchFileSnapshot(path)
    })
})
