import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { faultSchema } from '../../cli/chaos/plan.ts'
import { simulate } from '../../cli/simulation/simulate.ts'
import { root } from '../support/cli.ts'

/** A story, and the events that it must have, in this order; others may stand between. `*` is anything. */
const scenarioSchema = z.strictObject({
  story: z.string(),
  /** The test of another project that it retells. */
  after: z.string(),
  workers: z.number(),
  minWorkers: z.number().default(1),
  steps: z.number().default(60),
  restarts: z.boolean().default(true),
  faults: z.array(faultSchema),
  expect: z.array(z.string()),
  /** Events that must not be. */
  never: z.array(z.string()).default([]),
  /** Runs that end otherwise than complete say so. */
  ends: z.enum(['completed', 'failed']).default('completed'),
})

const folder = join(root, 'test/scenario')
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'))

describe('scenarios', () => {
  it('are there', () => expect(files.length).toBeGreaterThan(15))

  it.each(files)('%s', async (file) => {
    const scenario = scenarioSchema.parse(parse(readFileSync(join(folder, file), 'utf8')))
    const { workers, minWorkers, steps, restarts, faults } = scenario
    const options = { seed: 1, workers, minWorkers, steps, restarts, reproducible: true }
    const { bits } = await simulate({ ...options, faults: faults.filter(({ kind }) => kind === 'nan') })
    const run = await simulate({ ...options, faults, bits })
    const lines = run.events.map(told)
    let from = 0
    for (const wanted of scenario.expect) {
      const at = lines.findIndex((line, index) => index >= from && pattern(wanted).test(line))
      expect(at, `"${wanted}" is missing after line ${from} of:\n${lines.join('\n')}`).toBeGreaterThanOrEqual(0)
      from = at + 1
    }
    for (const unwanted of scenario.never)
      expect(
        lines.filter((line) => pattern(unwanted).test(line)),
        unwanted,
      ).toEqual([])
    expect(run.fired).toHaveLength(faults.length)
    expect(run.summary?.status).toBe(scenario.ends)
    if (scenario.ends === 'completed') expect(run.violations).toEqual([])
  })
})

/** An event in a few words. */
function told(event: Record<string, unknown>): string {
  const { kind, workerId, step, generation, worldSize, cause, reason, ready, wanted, lost, status } = event
  switch (kind) {
    case 'join':
      return `${workerId} is here`
    case 'generation':
      return `generation ${generation}: ${worldSize} workers from step ${step}`
    case 'lost':
      return `${workerId} is lost (${cause}): ${reason}`
    case 'left':
      return `${workerId} has left: ${reason}`
    case 'paused':
      return `paused: ${ready} of ${wanted} workers, step ${step}`
    case 'rewound':
      return `back to step ${step}, ${lost} steps lost: ${reason}`
    case 'end':
      return `${status}: ${reason}`
    default:
      return `${kind} ${step ?? ''} ${reason ?? ''}`.trim()
  }
}

function pattern(text: string): RegExp {
  return new RegExp(`^${text.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`)
}
