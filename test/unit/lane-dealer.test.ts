import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type DealRule, LaneDealer, usualDealRule } from '../../coordinator/membership/lane-dealer.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import { root } from '../support/cli.ts'

const rule: DealRule = { windowSteps: 10, looks: 2, leastGain: 0.1, waitMs: 5000, mostWaitMs: 80_000 }
const config = resolveConfig({ lanes: 16, maxWorkers: 4 })

/** Seconds of a worker's step: what goes with its lanes, what does not, and what it waits for the others. */
function step(lanes: number, fixed: number, reduce: number): CommittedStep {
  const phaseSeconds = {
    prepare: lanes / 4,
    forward: lanes / 4,
    backward: lanes / 2,
    optimizer: fixed,
    allReduce: reduce,
  }
  return {
    ...{ step: 1, time: 0, epoch: 0, batches: [], images: 128, scalars: {}, skipped: false, allReduceBytes: 0 },
    ...{ seconds: lanes + fixed + reduce, allReduceSeconds: reduce, phaseSeconds },
  }
}

/** A group whose workers take so many milliseconds for a lane, and the deals that it is told, by the second. */
class Course {
  readonly dealer: LaneDealer
  readonly told: { deal: readonly number[]; seconds: number }[] = []
  seconds = 0
  group: readonly string[]

  constructor(group: readonly string[], options = config, dealRule = rule) {
    this.group = group
    this.dealer = new LaneDealer(options, dealRule)
    this.form(group)
  }

  form(group: readonly string[]): readonly number[] {
    this.group = group
    return this.dealer.formed(group, this.seconds * 1000)
  }

  steps(count: number, laneMs: readonly number[], fixedMs = 1): void {
    for (let done = 0; done < count; done++) {
      const own = this.group.map((id, rank) => (this.dealer.lanesOf(id) * (laneMs[rank] ?? 0)) / 1000)
      const slowest = Math.max(...own)
      this.seconds += slowest + 0.002
      for (const [rank, id] of this.group.entries()) {
        const lanes = own[rank] ?? 0
        const redeal = this.dealer.steps(
          id,
          [step(lanes, fixedMs / 1000, slowest - lanes + 0.001)],
          this.seconds * 1000,
        )
        if (!redeal) continue
        this.told.push({ deal: redeal.deal, seconds: this.seconds })
        this.form(this.group)
      }
    }
  }
}

describe('lanes by speed', () => {
  it('a worker of half the speed gets half as many, once that is sure', () => {
    const course = new Course(['a', 'b'])
    course.steps(20, [10, 20])
    expect(course.told).toEqual([]) // seen twice, but too early
    course.steps(60, [10, 20])
    expect(course.told.map(({ deal }) => deal)).toEqual([[11, 5]])
    expect(course.dealer.shareOf('b')).toBe(5 / 8)
    course.steps(500, [10, 20])
    expect(course.told).toHaveLength(1)
  })

  it('are dealt anew when speeds change, and back', () => {
    const course = new Course(['a', 'b', 'c'])
    course.steps(100, [10, 10, 30])
    course.steps(200, [10, 10, 10])
    course.steps(200, [30, 10, 10])
    expect(course.told.map(({ deal }) => deal)).toEqual([
      [7, 7, 2],
      [6, 5, 5],
      [2, 7, 7],
    ])
  })

  it('stay where the gain is small, the slowness passes, or lanes are too few to help', () => {
    const course = new Course(['a', 'b'])
    course.steps(500, [10, 11.5])
    course.steps(9, [10, 30])
    course.steps(20, [10, 10])
    expect(course.told).toEqual([])
    const alone = new Course(['a'])
    alone.steps(200, [10])
    expect(alone.told).toEqual([])
    const few = new Course(['a', 'b'], { ...config, lanes: 2 })
    few.steps(500, [10, 30])
    expect(few.told).toEqual([])
  })

  it('what does not go with the lanes counts for nothing that they could win', () => {
    const course = new Course(['a', 'b'])
    course.steps(500, [1, 2], 200)
    expect(course.told).toEqual([])
  })

  it('what a worker takes with fewer lanes too is known once it has fewer', () => {
    const course = new Course(['a', 'b'])
    const steps = (count: number) => {
      for (let done = 0; done < count; done++) course.steps(1, [1, 20 / course.dealer.lanesOf('b') + 0.5])
    }
    steps(500)
    expect(course.told.map(({ deal }) => deal)).toEqual([[12, 4]]) // 22 ms; with one lane it would be 20.5 ms, not 5.5
    expect(course.form(['b', 'c'])).toEqual([8, 8])
  })

  it('a deal that brings nothing makes the next one wait twice as long', () => {
    const course = new Course(['a', 'b'])
    const waits: number[] = []
    let before = 0
    // The slow one takes as long with one lane as with many, which looks like ever slower lanes.
    for (let done = 0; done < 4000; done++) {
      const lanes = course.dealer.lanesOf('b')
      course.steps(1, [1, 40 / lanes])
      if (course.told.length > waits.length) {
        waits.push((course.told.at(-1)?.seconds ?? 0) - before)
        before = course.told.at(-1)?.seconds ?? 0
      }
    }
    expect(waits.length).toBeGreaterThan(1)
    expect(waits.length).toBeLessThan(6)
    for (const [index, wait] of waits.slice(1).entries()) expect(wait).toBeGreaterThan(1.5 * (waits[index] ?? 0))
  })

  it('known speeds hold in the next group, and one that is not known is as fast as the others', () => {
    const course = new Course(['a', 'b', 'c'])
    course.steps(100, [10, 10, 30])
    expect(course.form(['a', 'c'])).toEqual([12, 4])
    expect(course.form(['a', 'c', 'd'])).toEqual([9, 3, 4])
    expect(course.form(['d', 'e'])).toEqual([8, 8])
  })

  it('the same group keeps what it has; a coordinator that takes over goes on from it', () => {
    const course = new Course(['a', 'b'])
    course.steps(100, [10, 30])
    const deal = course.dealer.deal
    expect(deal).toEqual([12, 4])
    expect(course.form(['a', 'b'])).toEqual(deal)
    const next = new LaneDealer(config, rule)
    next.inherit(['a', 'b'], deal, 0)
    expect([next.lanesOf('a'), next.lanesOf('b'), next.lanesOf('c')]).toEqual([12, 4, 0])
    next.inherit(['a', 'b'], [0, 0], 0) // noted by an older version
    expect(next.deal).toEqual([8, 8])
  })

  it('are even with --deal even, and by pipeline where there are stages', () => {
    const even = new Course(['a', 'b'], { ...config, deal: 'even' })
    even.steps(500, [10, 30])
    expect(even.told).toEqual([])
    const pipelines = new LaneDealer(resolveConfig({ pipelineStages: 2, maxWorkers: 4, lanes: 16 }), rule)
    expect(pipelines.formed(['a', 'b', 'c', 'd'], 0)).toEqual([8, 8])
    expect(['a', 'b', 'c', 'd'].map((id) => pipelines.lanesOf(id))).toEqual([8, 8, 8, 8])
  })

  it('the usual rule needs a hundred steps and ten seconds', () => {
    const course = new Course(['a', 'b'], config, usualDealRule)
    course.steps(99, [10, 20])
    expect(course.told).toEqual([])
    course.steps(2, [10, 20])
    expect(course.told).toHaveLength(1)
  })
})

/** Two runs of two workers with four lanes each, on two cores with much other load, as measured: microseconds of every step, by model and rank. */
function recorded(model: string): { lanes: number; fixed: number; reduce: number }[][] {
  const lines = readFileSync(join(root, 'test/golden/noisy-steps.txt'), 'utf8').trim().split('\n')
  const series = (rank: number, figure: string) =>
    lines
      .find((line) => line.startsWith(`${model} ${rank} ${figure} `))
      ?.split(' ')
      .slice(3)
      .map(Number) ?? []
  return [0, 1].map((rank) => {
    const [fixed, reduce] = [series(rank, 'fixed'), series(rank, 'reduce')]
    return series(rank, 'lanes').map((lanes, at) => ({ lanes, fixed: fixed[at] ?? 0, reduce: reduce[at] ?? 0 }))
  })
}

/** What the usual rule, without its wait, makes of a record from some step on, where the second rank takes so many times as long. */
function dealsOf(model: string, from: number, slowness: number): number {
  const ranks = recorded(model)
  const dealer = new LaneDealer(resolveConfig({ maxWorkers: 2 }), { ...usualDealRule, waitMs: 0 })
  const ids = ['a', 'b']
  dealer.formed(ids, 0)
  for (let at = from; at < (ranks[0]?.length ?? 0); at++)
    for (const [rank, id] of ids.entries()) {
      const { lanes = 0, fixed = 0, reduce = 0 } = ranks[rank]?.[at] ?? {}
      const slow = rank === 1 ? slowness : 1
      if (dealer.steps(id, [step((slow * lanes) / 1e6, (slow * fixed) / 1e6, reduce / 1e6)], at)) return 1
    }
  return 0
}

describe.each(['vae', 'gan'])('steps of a %s as they were measured', (model) => {
  it('on two equal cores with other load change no deal, wherever one begins to look', () => {
    for (let from = 0; from < 100; from += 3) expect(dealsOf(model, from, 1), `from step ${from}`).toBe(0)
  })

  it('do so where one worker is slower by a half', () => {
    expect(dealsOf(model, 0, 1.5)).toBe(1)
  })
})

it('--deal speed is refused where every worker has to have as much', () => {
  expect(() => resolveConfig({ deal: 'speed', accumulate: 2, maxWorkers: 2 })).toThrow(
    /with --accumulate 2 write --deal even/,
  )
  expect(() => resolveConfig({ deal: 'speed', pipelineStages: 2, maxWorkers: 2 })).toThrow(
    /with --pipeline-stages 2 write --deal even/,
  )
  expect(resolveConfig({ accumulate: 2, maxWorkers: 2 }).deal).toBe('even')
  expect(resolveConfig({}).deal).toBe('speed')
})
