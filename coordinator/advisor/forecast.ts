import { crowding, type Layout, resized, spreadOut } from './layout.ts'
import { type Expected, fitScaling, likely, possible, predictedMs, type Scaling } from './scaling.ts'
import type { SeenGroup } from './step-times.ts'

/** What a step of a group would take, with the least and the most that is likely. */
export interface Range {
  readonly stepMs: number
  readonly lowMs: number
  readonly highMs: number
}

export interface Forecast {
  readonly workers: number
  /** `here`: on the hosts of the run; `further hosts`: each of those that are more has one of its own. */
  readonly where: 'here' | 'further hosts'
  readonly imagesPerSecond: number
  readonly lowImagesPerSecond: number
  readonly highImagesPerSecond: number
  readonly stepMs: number
  /** Until the last step; null: it is done. */
  readonly etaSeconds: number | null
  /** Images in a second, by what as many workers would do that are as fast as one alone. */
  readonly efficiency: number
}

/** What no fit knows: steps of the same group differ by so much from one hour to the next, and more where a group is unlike those seen. */
const leastError = 0.05
/** Groups that are varied: the last ones. Each doubles the fits. */
const variedGroups = 3

/** The fits that what was seen allows: each group as fast as its faster and its slower quarter, and whatever prior. The first is the likeliest. */
export function fits(seen: readonly SeenGroup[], expected: Expected): Scaling[] {
  const medians = seen.map(({ stepMs }) => stepMs)
  const varied = seen.slice(-variedGroups)
  const times = Array.from({ length: 2 ** varied.length }, (_, set) =>
    seen.map(({ stepMs, lowMs, highMs }, index) => {
      const place = index - (seen.length - varied.length)
      if (place < 0) return stepMs
      return set & (1 << place) ? highMs : lowMs
    }),
  )
  const scalings = possible.flatMap((prior) => times.map((each) => fitScaling(seen, each, expected, prior)))
  return [fitScaling(seen, medians, expected, likely), ...scalings]
}

export function rangeOf(
  scalings: readonly Scaling[],
  layout: Layout,
  seen: readonly SeenGroup[],
  expected: Expected,
): Range {
  const times = scalings.map((scaling) => predictedMs(scaling, layout, expected))
  const [stepMs = 0] = times
  const doublings = Math.min(
    ...seen.map(({ layout: known }) =>
      Math.max(
        Math.abs(Math.log2(layout.seats.length / known.seats.length)),
        Math.abs(Math.log2(crowding(layout).single / crowding(known).single)),
      ),
    ),
  )
  const error = leastError * (1 + (Number.isFinite(doublings) ? doublings : 0))
  return { stepMs, lowMs: Math.min(...times) * (1 - error), highMs: Math.max(...times) * (1 + error) }
}

export interface Work {
  readonly imagesPerStep: number
  readonly stepsLeft: number
  /** Each needs a lane. */
  readonly mostWorkers: number
}

/** What more or fewer workers would bring: one fewer, one and two more, twice as many; and twice and four times as many on further hosts. */
export function forecasts(layout: Layout, seen: readonly SeenGroup[], expected: Expected, work: Work): Forecast[] {
  const scalings = fits(seen, expected)
  const [likeliest] = scalings
  if (!likeliest) return []
  const now = layout.seats.length
  const allowed = (counts: readonly number[]) =>
    [...new Set(counts)].filter((workers) => workers >= 1 && workers <= work.mostWorkers)
  const aloneMs = predictedMs(likeliest, resized(layout, 1), expected)
  const told = (workers: number, where: Forecast['where']): Forecast => {
    const wanted = where === 'here' ? resized(layout, workers) : spreadOut(layout, workers)
    const { stepMs, lowMs, highMs } = rangeOf(scalings, wanted, seen, expected)
    const rate = (ms: number) => (1000 * work.imagesPerStep) / ms
    return {
      ...{ workers, where, imagesPerSecond: rate(stepMs) },
      ...{ lowImagesPerSecond: rate(highMs), highImagesPerSecond: rate(lowMs), stepMs },
      etaSeconds: work.stepsLeft > 0 ? (work.stepsLeft * stepMs) / 1000 : null,
      efficiency: aloneMs / stepMs / workers,
    }
  }
  return [
    ...allowed([now - 1, now, now + 1, now + 2, 2 * now]).map((workers) => told(workers, 'here')),
    ...allowed([now + 1, 2 * now, 4 * now]).map((workers) => told(workers, 'further hosts')),
  ]
}
