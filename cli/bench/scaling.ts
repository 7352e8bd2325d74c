import { assert } from '../../shared/core/errors.ts'
import { type Comparison, compared, type Round, toldRounds } from './rounds.ts'
import { median, rounded } from './spread.ts'
import type { StepFigures } from './step-figures.ts'
import { row } from './table.ts'

interface ScalingRound extends Round {
  /** Images a second of the group of two. */
  readonly together: number
  /** Of each of the two that run side by side. */
  readonly apart: readonly number[]
}

/** What two workers keep of their speed when they have to agree on every step. */
export interface Scaling
  extends Comparison<ScalingRound>,
    Pick<StepFigures, 'model' | 'math' | 'backend' | 'reproducible' | 'globalBatch'> {}

interface Measured {
  readonly leftFirst: boolean
  /** The group of two. */
  readonly left: readonly StepFigures[]
  /** The two trainings of one worker, each with half the batch: the same work for each process. */
  readonly right: readonly StepFigures[]
}

export function comparedScaling(measured: readonly Measured[]): Scaling {
  const about = measured[0]?.left[0]
  assert(about, 'there is a round at least')
  const rounds = measured.map(({ leftFirst, left, right }) => {
    const together = left[0]?.imagesPerSecond ?? Number.NaN
    const apart = right.map(({ imagesPerSecond }) => imagesPerSecond)
    const ratio = rounded(together / apart.reduce((sum, rate) => sum + rate, 0))
    return { first: leftFirst ? 'together' : 'apart', ratio, together, apart }
  })
  const { model, math, backend, reproducible, globalBatch } = about
  return { model, math, backend, reproducible, globalBatch, ...compared(rounds) }
}

export function toldScaling(scaling: Scaling): string {
  const { model, math, backend, globalBatch, rounds } = scaling
  const together = Math.round(median(rounds.map((round) => round.together)))
  const apart = Math.round(median(rounds.map((round) => round.apart.reduce((sum, rate) => sum + rate, 0))))
  const about = `${model}, ${math}, ${backend}, 1 thread a worker`
  return [
    `${about}: 2 workers, global batch ${globalBatch}, against 2 trainings of 1 worker, batch ${globalBatch / 2}\n`,
    row(['together', 'apart, sum', 'ratio min', 'median', 'max', '   each (*: apart first)']),
    row([together, apart, ...toldRounds(scaling, 'together')]),
  ].join('')
}
