import { nonNegativeLeastSquares } from '../../shared/core/non-negative-least-squares.ts'
import { crowding, isRoomy, type Layout } from './layout.ts'
import type { SeenGroup } from './step-times.ts'

/** What the alpha-beta model gives for the all-reduce of a group, in milliseconds (shared/collective/cost.ts). */
export type Expected = (layout: Layout) => number

/**
 * Time of a step on N workers that share one batch, with what they take from each other where they share cores:
 *
 *   step = a s + b r / N + c k s
 *
 * a: what every worker does alike, on one thread. b: what one thread spends on the rows of the whole batch. k: what the measured
 * links make one expect of the all-reduce; c corrects it by what was seen. s = max(1, n / C), r = max(1 / T, n / C) for n workers
 * of T threads on a host of C cores, the fullest host counts. With a core for each thread it is a + b / (N T) + c k, which is
 * shared/core/step-model.ts: Amdahl (1967) with a communication term.
 */
export interface Scaling {
  /** a, b, c. */
  readonly coefficients: readonly number[]
}

/** What is taken for likely as long as nothing seen says otherwise: the part of one worker's step that all do alike, and c. */
export interface Prior {
  readonly fixedPart: number
  readonly links: number
}

export const likely: Prior = { fixedPart: 0.5, links: 1 }
/** The ends of what is possible: nothing or all of a step is shared out, and links that are a third and three times as good. */
export const possible: readonly Prior[] = [0, 1].flatMap((fixedPart) =>
  [1 / 3, 3].map((links) => ({ fixedPart, links })),
)
/** Against 1 for what was seen, squared: it decides what is open, and no more. */
const priorWeight = 0.02

/** `times`: of each group, the step to take it for. Of a group that shares cores nobody can say what was waiting; its whole step counts. */
export function fitScaling(
  seen: readonly SeenGroup[],
  times: readonly number[],
  expected: Expected,
  prior: Prior,
): Scaling {
  const rows: number[][] = []
  const values: number[] = []
  /** Errors count in parts of the measured time. */
  const row = (weight: number, columns: readonly number[], value: number) => {
    if (value <= 0) return
    rows.push(columns.map((column) => (weight * column) / value))
    values.push(weight)
  }
  for (const [index, { layout, stepMs, waitMs }] of seen.entries()) {
    const [single = 1, shared = 1, links = 0] = featuresOf(layout, expected)
    const time = times[index] ?? stepMs
    const wait = (waitMs * time) / stepMs
    if (layout.seats.length > 1 && isRoomy(layout)) {
      row(1, [single, shared, 0], time - wait)
      row(1, [0, 0, links], wait)
    } else row(1, [single, shared, links], time)
  }
  const [first] = seen
  const alone = first ? aloneMs(first) : 1
  const { fixedPart, links } = prior
  rows.push([priorWeight / alone, 0, 0], [0, priorWeight / alone, 0], [0, 0, priorWeight / links])
  values.push(priorWeight * fixedPart, priorWeight * (1 - fixedPart), priorWeight)
  return { coefficients: nonNegativeLeastSquares(rows, values) }
}

export function predictedMs({ coefficients }: Scaling, layout: Layout, expected: Expected): number {
  return featuresOf(layout, expected).reduce((sum, column, index) => sum + column * (coefficients[index] ?? 0), 0)
}

/** Of the step, what is communication. */
export function communicationMs({ coefficients }: Scaling, layout: Layout, expected: Expected): number {
  return (featuresOf(layout, expected)[2] ?? 0) * (coefficients[2] ?? 0)
}

function featuresOf(layout: Layout, expected: Expected): number[] {
  const { single, parts } = crowding(layout)
  const workers = layout.seats.length
  return [single, parts / workers, workers > 1 ? expected(layout) * single : 0]
}

/** What one worker would take at most. */
function aloneMs({ layout, stepMs, waitMs }: SeenGroup): number {
  return ((stepMs - waitMs) * layout.seats.length) / crowding(layout).single
}
