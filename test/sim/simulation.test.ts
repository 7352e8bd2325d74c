import { describe, expect, it } from 'vitest'
import { type FaultKind, planFromSeed } from '../../cli/chaos/plan.ts'
import { type Simulated, simulate } from '../../cli/simulation/simulate.ts'

const kinds: readonly FaultKind[] = [
  ...(['kill', 'stop', 'slow', 'partition', 'drop', 'delay', 'coordinator-kill', 'join', 'leave', 'nan'] as const),
]
const steps = 60
const seedsPerTest = 20

/** As `ringleader chaos --simulate --seed N --faults F` does it. */
async function underFaults(seed: number, faults: number): Promise<Simulated> {
  const workers = 1 + (seed % 9)
  const plan = planFromSeed(seed, { kinds, faults, workers, steps })
  const options = { seed, workers, steps, reproducible: seed % 2 === 0 }
  const { bits } = await simulate({ ...options, faults: plan.filter(({ kind }) => kind === 'nan') })
  return simulate({ ...options, faults: plan, bits })
}

describe('under faults that follow from a seed, no step is lost, no sample used twice, and the bits stay', () => {
  const fired = new Map<string, number>()

  it.each(Array.from({ length: 12 }, (_, block) => 1 + block * seedsPerTest))('seeds from %i', async (first) => {
    for (let seed = first; seed < first + seedsPerTest; seed++) {
      const faults = 3 + (seed % 8)
      const run = await underFaults(seed, faults)
      const replay = `replay with: ringleader chaos --simulate --trace --seed ${seed} --faults ${faults}`
      expect(run.violations, replay).toEqual([])
      for (const { kind } of run.fired) fired.set(kind, (fired.get(kind) ?? 0) + 1)
    }
  })

  it('and every kind of fault did fire, many times', () => {
    for (const kind of kinds) expect(fired.get(kind), kind).toBeGreaterThan(20)
  })
})

describe('with compressed gradients', () => {
  it.each(['bf16', 'fp16', 'int8', 'topk'] as const)('replicas agree under faults with %s', async (compression) => {
    for (let seed = 1; seed <= 12; seed++) {
      const workers = 2 + (seed % 5)
      const faults = planFromSeed(seed, { kinds, faults: 3 + (seed % 6), workers, steps })
      const run = await simulate({ seed, workers, steps, reproducible: false, compression, faults })
      expect(run.violations, `${compression}, seed ${seed}`).toEqual([])
    }
  })
})

describe('a simulation', () => {
  it('is the same for the same seed', async () => {
    const [one, two] = [await underFaults(11, 8), await underFaults(11, 8)]
    const story = ({ events, virtualMs }: Simulated) => [virtualMs, ...events.map(({ kind, step }) => [kind, step])]
    expect(story(one)).toEqual(story(two))
    expect(one.events.length).toBeGreaterThan(10)
  })

  it('gives the same bits for every number of workers', async () => {
    const hashes = new Set<unknown>()
    for (const workers of [1, 2, 3, 5, 9])
      for (const reproducible of [true, false])
        hashes.add((await simulate({ seed: 3, workers, steps, reproducible, faults: [] })).summary?.weightsSha256)
    expect(hashes.size).toBe(1)
  })
})
