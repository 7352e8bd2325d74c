import { describe, expect, it } from 'vitest'
import { describeAdvice } from '../../cli/describe-advice.ts'
import { linkModel } from '../../cli/simulation/link-model.ts'
import { simulateAllReduce } from '../../cli/simulation/simulated-all-reduce.ts'
import { changes, expectedOf } from '../../coordinator/advisor/communication.ts'
import { type Forecast, forecasts } from '../../coordinator/advisor/forecast.ts'
import { crowding, isRoomy, type Layout, resized, spreadOut } from '../../coordinator/advisor/layout.ts'
import { StepTimes } from '../../coordinator/advisor/step-times.ts'
import { chooseAlgorithm } from '../../shared/collective/algorithm.ts'
import { nonNegativeLeastSquares } from '../../shared/core/non-negative-least-squares.ts'

const settings = { algorithm: 'auto', reproducible: false, compression: 'none' } as const
const work = { imagesPerStep: 1000, stepsLeft: 100, mostWorkers: 1024 }
const megabyte = 1 << 20

/** So many workers of one thread on one host of so many cores. */
const onOneHost = (workers: number, cores: number): Layout => ({
  seats: Array.from({ length: workers }, () => ({ host: 'a', cores, threads: 1 })),
  topology: {
    hosts: new Array<number>(workers).fill(0),
    inside: { latencyUs: 50, bytesPerSecond: 4e9 },
    between: null,
    hub: false,
  },
})

/** Each on a host of its own. */
const apart = (workers: number, bytesPerSecond = 1.25e9): Layout => ({
  seats: Array.from({ length: workers }, (_, rank) => ({ host: `h${rank}`, cores: 1, threads: 1 })),
  topology: {
    hosts: Array.from({ length: workers }, (_, rank) => rank),
    ...{ inside: null, between: { latencyUs: 20, bytesPerSecond }, hub: false },
  },
})

/** What a run of these groups would have seen. */
function seen(groups: readonly { readonly layout: Layout; readonly computeMs: number; readonly waitMs: number }[]) {
  const times = new StepTimes()
  for (const { layout, computeMs, waitMs } of groups) {
    times.formed(layout)
    for (let step = 0; step < 100; step++) {
      const noise = 1 + 0.02 * Math.sin(7 * step)
      times.step({ stepMs: (computeMs + waitMs) * noise, waitMs: waitMs * noise }, work.imagesPerStep)
    }
  }
  return times.seen
}

function forecastOf(all: readonly Forecast[], workers: number, where: Forecast['where']): Forecast {
  const found = all.find((forecast) => forecast.workers === workers && forecast.where === where)
  if (!found) throw new Error(`no forecast for ${workers} workers, ${where}`)
  return found
}

describe('a group on hosts', () => {
  it('is crowded where workers outnumber cores, and resized where cores are free', () => {
    expect(crowding(onOneHost(2, 2))).toEqual({ single: 1, parts: 1 })
    expect(crowding(onOneHost(4, 2))).toEqual({ single: 2, parts: 2 })
    expect(isRoomy(onOneHost(2, 2))).toBe(true)
    expect(isRoomy(onOneHost(3, 2))).toBe(false)
    expect(resized(onOneHost(2, 2), 4)).toEqual(onOneHost(4, 2))
    expect(resized(onOneHost(3, 2), 1)).toEqual(onOneHost(1, 2))
    const more = resized(
      {
        ...apart(2),
        seats: [
          { host: 'h0', cores: 1, threads: 1 },
          { host: 'h1', cores: 4, threads: 1 },
        ],
      },
      4,
    )
    expect(more.seats.map(({ host }) => host)).toEqual(['h0', 'h1', 'h1', 'h1'])
    expect(more.topology.hosts).toEqual([0, 1, 1, 1])
    expect(new Set(spreadOut(apart(2), 6).seats.map(({ host }) => host)).size).toBe(6)
    expect(spreadOut(onOneHost(2, 2), 4).topology.hosts).toEqual([0, 0, 1, 2])
  })
})

describe('the times of steps', () => {
  it('are medians by group; the first steps of each count for nothing', () => {
    const times = new StepTimes()
    times.formed(onOneHost(1, 2))
    for (let step = 0; step < 10; step++) times.step({ stepMs: 900, waitMs: 0 }, 10)
    expect(times.seen).toEqual([])
    for (let step = 0; step < 80; step++) times.step({ stepMs: step === 20 ? 500 : 5, waitMs: 1 }, 10)
    expect(times.seen).toMatchObject([{ steps: 80, stepMs: 5, waitMs: 1, imagesPerStep: 10 }])
  })

  it('are bounded, and one layout is one group', () => {
    const times = new StepTimes()
    for (let round = 0; round < 3; round++)
      for (let workers = 1; workers <= 30; workers++) {
        times.formed(onOneHost(workers, 2))
        for (let step = 0; step < 1000; step++) times.step({ stepMs: 5, waitMs: 1 }, 10)
      }
    expect(times.seen).toHaveLength(16)
  })
})

describe('least squares without negative coefficients', () => {
  it('finds an exact relation, and sets to 0 what would be negative', () => {
    const rows = [1, 2, 4].map((n) => [1, 1 / n])
    const [a, b] = nonNegativeLeastSquares(rows, [13, 8, 5.5])
    expect(a).toBeCloseTo(3, 9)
    expect(b).toBeCloseTo(10, 9)
    expect(nonNegativeLeastSquares(rows, [1, 2, 3])[1]).toBe(0)
    expect(nonNegativeLeastSquares([[1, 1]], [0])).toEqual([0, 0])
  })
})

describe('what more workers would bring', () => {
  const expected = expectedOf(4 * megabyte, settings)

  it('follows from one and two on two cores: four take turns, and a step takes twice of what does not shrink', () => {
    const groups = seen([
      { layout: onOneHost(1, 2), computeMs: 30, waitMs: 0 },
      { layout: onOneHost(2, 2), computeMs: 10 + 20 / 2, waitMs: 2 },
    ])
    const all = forecasts(onOneHost(2, 2), groups, expected, work)
    const links = expected(onOneHost(4, 2)) / expected(onOneHost(2, 2))
    const four = forecastOf(all, 4, 'here')
    const truth = 2 * 10 + 20 / 2 + 2 * 2 * links
    expect(four.stepMs / truth).toBeGreaterThan(0.97)
    expect(four.stepMs / truth).toBeLessThan(1.03)
    expect(four.lowImagesPerSecond).toBeLessThan(1e6 / truth)
    expect(four.highImagesPerSecond).toBeGreaterThan(1e6 / truth)
    expect(four.etaSeconds).toBeCloseTo((100 * four.stepMs) / 1000, 9)
    expect(forecastOf(all, 1, 'here').stepMs).toBeCloseTo(30, 0)
    expect(forecastOf(all, 2, 'here').efficiency).toBeCloseTo(30 / 22 / 2, 1)
    // With hosts of their own nobody waits for a core.
    expect(forecastOf(all, 4, 'further hosts').stepMs).toBeLessThan(four.stepMs)
  })

  it('is known badly from one number of workers, and the range says so', () => {
    const groups = seen([{ layout: onOneHost(1, 8), computeMs: 30, waitMs: 0 }])
    const {
      stepMs,
      lowImagesPerSecond: low,
      highImagesPerSecond: high,
    } = forecastOf(forecasts(onOneHost(1, 8), groups, expected, work), 2, 'here')
    expect(stepMs).toBeGreaterThan(15)
    expect(1e6 / high).toBeLessThan(16) // all of it is shared out
    expect(1e6 / low).toBeGreaterThan(30) // none of it is
  })

  it('is what the simulated all-reduce takes on hosts of their own, up to 64', async () => {
    const bytes = 4 * megabyte
    const links = linkModel({ latencyMs: 0.02, bytesPerMs: 1.25e6, messageMs: 0.01, sumBytesPerMs: 8e6 })
    const simulated = async (workers: number) => {
      const { topology } = apart(workers)
      const { name } = chooseAlgorithm({ choice: 'auto', topology, onePlace: false }, bytes)
      return workers === 1 ? 0 : (await simulateAllReduce(name, workers, bytes, links)).ms
    }
    const computeMs = (workers: number) => 8 + 60 / workers
    const groups = await Promise.all(
      [1, 2, 4].map(async (workers) => ({
        layout: apart(workers),
        computeMs: computeMs(workers),
        waitMs: await simulated(workers),
      })),
    )
    const all = forecasts(apart(16), seen(groups), expected, work)
    for (const workers of [32, 64]) {
      const truth = computeMs(workers) + (await simulated(workers))
      expect(Math.abs(forecastOf(all, workers, 'further hosts').stepMs / truth - 1), `${workers}`).toBeLessThan(0.15)
    }
  })
})

describe('whether another all-reduce would pay', () => {
  const flags = (layout: Layout, config: Parameters<typeof changes>[4], waitMs: number) =>
    changes(layout, 44 * megabyte, waitMs, 2 * waitMs, config)

  it('compresses over a slow link, and not over a fast one or within a host', () => {
    const slow = flags(apart(2, 1.25e8), settings, 370)
    expect(slow.map(({ flag, pays }) => [flag, pays])).toEqual([
      ['--compression bf16', true],
      ['--compression int8', true],
    ])
    expect(slow[0]?.savedMs).toBeGreaterThan(100)
    expect(slow[0]?.savedMs).toBeLessThan(185)
    expect(flags(apart(2, 1.25e9), settings, 40).every(({ pays }) => !pays)).toBe(true)
    expect(flags(onOneHost(2, 2), settings, 20)).toEqual([])
    expect(flags(onOneHost(1, 2), settings, 0)).toEqual([])
  })

  it('takes back a choice that the links do not bear out', () => {
    const [tree] = flags(apart(6), { ...settings, algorithm: 'tree', compression: 'bf16' }, 200)
    expect(tree?.flag).toMatch(/^--algorithm auto/)
    expect(tree?.pays).toBe(true)
    expect(flags(apart(6), { ...settings, compression: 'bf16' }, 200)).toEqual([])
  })
})

describe('the lines of `status`', () => {
  it('give each forecast with its range, and each change with its verdict', () => {
    const groups = seen([{ layout: apart(2, 1.25e8), computeMs: 30, waitMs: 370 }])
    const expected = expectedOf(44 * megabyte, settings)
    const lines = describeAdvice({
      basis: 'only 2 workers seen',
      seen: [],
      forecasts: forecasts(apart(2, 1.25e8), groups, expected, work),
      changes: changes(apart(2, 1.25e8), 44 * megabyte, 370, 400, settings),
    })
    expect(lines[0]).toMatch(/^advice +only 2 workers seen$/)
    expect(lines[1]).toMatch(
      /^ {2}1 worker, here: [\d,]+ images\/s \([\d,]+ to [\d,]+\) {2}ETA [\d:]+ {2}efficiency \d+ %$/,
    )
    expect(lines.at(-1)).toMatch(/^ {2}--compression int8: would save [\d.]+ ms of a step \(.*\): it pays$/)
    expect(describeAdvice(null)).toEqual(['advice          too few steps were seen yet'])
  })
})
