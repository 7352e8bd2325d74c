import { leastSquares } from './least-squares.ts'

/**
 * Time of a step on N workers that share one global batch: step(N) = a + b / N + communication(N). What every worker does
 * alike (a: the optimizer, launching operations) does not shrink (Amdahl 1967); what goes with its rows of the batch (b)
 * does; what N workers have to tell each other is measured or simulated apart.
 */
export interface StepModel {
  /** a, in milliseconds. */
  readonly fixedMs: number
  /** b: milliseconds that one worker alone spends on the rows of the whole batch. */
  readonly sharedMs: number
  /** Largest distance of a measured point from the model, in parts of the point. */
  readonly error: number
}

export interface StepPoint {
  /** Parts that the batch is cut into; where workers outnumber cores, they take turns, and the cores count. */
  readonly parts: number
  /** Of a step, without communication. */
  readonly computeMs: number
}

/** Null where there are fewer than two numbers of parts. Neither time is below 0: where one would be, it is 0. */
export function fitStepModel(points: readonly StepPoint[]): StepModel | null {
  const values = points.map(({ computeMs }) => computeMs)
  const both = leastSquares(
    points.map(({ parts }) => [1, 1 / parts]),
    values,
  )
  if (!both) return null
  const only = (row: (point: StepPoint) => number) =>
    leastSquares(
      points.map((point) => [row(point)]),
      values,
    )?.[0] ?? 0
  let [fixedMs = 0, sharedMs = 0] = both
  if (fixedMs < 0) [fixedMs, sharedMs] = [0, only(({ parts }) => 1 / parts)]
  else if (sharedMs < 0) [fixedMs, sharedMs] = [only(() => 1), 0]
  const errors = points.map(({ parts, computeMs }) => Math.abs(fixedMs + sharedMs / parts - computeMs) / computeMs)
  return { fixedMs, sharedMs, error: Math.max(...errors) }
}

export function stepMs({ fixedMs, sharedMs }: StepModel, workers: number, communicationMs: number): number {
  return fixedMs + sharedMs / workers + communicationMs
}
