import { describe, expect, it } from 'vitest'
import { type FaultKind, planFromSeed } from '../../cli/chaos/plan.ts'
import { type Simulated, simulate } from '../../cli/simulation/simulate.ts'

const kinds: readonly FaultKind[] = [
  ...(['kill', 'stop', 'slow', 'partition', 'drop', 'delay', 'coordinator-kill', 'join', 'leave', 'nan'] as const),
]
const steps = 60
const seedsPerTest = 5

describe.each(['star', 'hierarchical'] as const)(
  '%s under faults loses no step and no sample, and keeps the bits',
  (algorithm) => {
    const names = new Set<unknown>()

    it.each(Array.from({ length: 3 }, (_, block) => 1 + block * seedsPerTest))('seeds from %i', async (first) => {
      for (let seed = first; seed < first + seedsPerTest; seed++) {
        const workers = 2 + (seed % 6)
        const faults = planFromSeed(seed, { kinds, faults: 2 + (seed % 6), workers, steps })
        const options = { seed, workers, steps, algorithm, hosts: 1 + (seed % 3), reproducible: false }
        const { bits } = await simulate({ ...options, faults: faults.filter(({ kind }) => kind === 'nan') })
        const run = await simulate({ ...options, faults, bits })
        expect(run.violations, `seed ${seed}`).toEqual([])
        for (const event of run.events.filter(({ kind }) => kind === 'algorithm')) names.add(event.name)
      }
    })

    it('and it was that which was used', () => {
      expect([...names].filter((name) => name !== 'direct')).toEqual([algorithm]) // direct: one rank, nothing to add
    })
  },
)

describe('a star in a simulation', () => {
  const kill = { kind: 'coordinator-kill', at: { step: 20 } } as const
  const commits = ({ events }: Simulated) => events.filter(({ kind }) => kind === 'generation')

  it('stands while the coordinator is away, and takes the same step again', async () => {
    const options = { seed: 5, workers: 3, steps, reproducible: true, algorithm: 'star' as const }
    const { bits } = await simulate({ ...options, faults: [] })
    const run = await simulate({ ...options, faults: [kill], bits })
    expect(run.violations).toEqual([])
    expect(run.stepsLost).toBe(0)
    expect(commits(run)).toHaveLength(2)
  })

  it('is what two workers come to that do not reach each other, and stays so under another coordinator', async () => {
    const cut = { kind: 'partition', at: { step: 6 }, worker: 'worker-0', from: 'worker-1', seconds: 600 } as const
    const options = { seed: 9, workers: 2, steps: 600, reproducible: true }
    const { bits } = await simulate({ ...options, faults: [] })
    const run = await simulate({ ...options, faults: [cut, { ...kill, at: { step: 300 } }], bits })
    expect(run.violations).toEqual([])
    expect(run.fired).toHaveLength(2)
    expect(run.stepsLost).toBe(0)
    const hubs = run.events.flatMap(({ kind, name }) => (kind === 'algorithm' ? [name] : []))
    expect(hubs.at(0)).not.toBe('star')
    expect(hubs.slice(-2)).toEqual(['star', 'star'])
    expect(run.events.filter(({ kind }) => kind === 'lost')).toEqual([])
  })
})
