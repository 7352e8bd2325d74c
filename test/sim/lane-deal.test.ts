import { expect, it } from 'vitest'
import { type FaultKind, planFromSeed } from '../../cli/chaos/plan.ts'
import { simulate } from '../../cli/simulation/simulate.ts'
import type { DealRule } from '../../coordinator/membership/lane-dealer.ts'

const steps = 60
/** Slow workers above all, and whatever else may happen while lanes are dealt anew. */
const kinds: readonly FaultKind[] = [
  ...(['slow', 'slow', 'slow', 'slow', 'kill', 'stop', 'coordinator-kill', 'join', 'leave', 'partition'] as const),
]
/** A few steps are enough to deal anew, however often. */
const eager: DealRule = { windowSteps: 3, looks: 1, leastGain: 0.05, waitMs: 20, mostWaitMs: 200 }

it('lanes that are dealt anew again and again, under faults: no step is lost, no sample used twice, and the bits stay', async () => {
  let [dealt, uneven] = [0, 0]
  for (let seed = 1; seed <= 40; seed++) {
    const workers = 2 + (seed % 5)
    const options = { seed, workers, steps, reproducible: seed % 2 === 0, deal: eager }
    const { bits } = await simulate({ ...options, faults: [] })
    const faults = planFromSeed(seed, { kinds, faults: 6, workers, steps })
    const run = await simulate({ ...options, faults, bits })
    expect(run.violations, `seed ${seed}`).toEqual([])
    dealt += run.events.filter(({ kind }) => kind === 'dealt').length
    uneven += run.events.filter(({ kind, lanes }) => kind === 'generation' && isUneven(lanes as number[])).length
    const all = run.summary?.lanes.reduce((sum, { lanes }) => sum + lanes, 0)
    expect(all, `seed ${seed}`).toBe(16)
  }
  expect(dealt).toBeGreaterThan(40)
  expect(uneven).toBeGreaterThan(40)
})

function isUneven(lanes: readonly number[]): boolean {
  return Math.max(...lanes) - Math.min(...lanes) > 1
}
