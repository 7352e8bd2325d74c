import { specOf } from '../../shared/model/description.ts'
import { parametersOf } from '../../shared/model/parameters.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import type { Topology } from '../../shared/protocol/topology.ts'
import type { PreparedRun } from '../prepare-run.ts'
import { type Change, changes, expectedOf } from './communication.ts'
import { type Forecast, forecasts } from './forecast.ts'
import { crowding, type Seat } from './layout.ts'
import { type SeenGroup, StepTimes } from './step-times.ts'

export interface Advice {
  /** How much the forecasts rest on. */
  readonly basis: string
  /** What was measured, by numbers of workers. */
  readonly seen: readonly { readonly workers: number; readonly steps: number; readonly stepMs: number }[]
  readonly forecasts: readonly Forecast[]
  readonly changes: readonly Change[]
}

/** Says what more or fewer workers, or another way to reduce, would bring to a run; from what it has seen (docs/advisor.md). */
export class Advisor {
  readonly #run: PreparedRun
  readonly #times = new StepTimes()
  readonly #bytes: number

  constructor(run: PreparedRun) {
    this.#run = run
    const { networks } = specOf(run.config.description, run.config, run.dataset)
    const learnt = networks.flatMap(parametersOf).filter(({ role }) => role !== 'singularVector')
    this.#bytes = 4 * learnt.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)
  }

  /** `seats`: by rank. */
  started(seats: readonly Seat[], topology: Topology): void {
    this.#times.formed({ seats, topology })
  }

  committed({ seconds, allReduceSeconds, images, skipped }: CommittedStep): void {
    if (!skipped) this.#times.step({ stepMs: 1000 * seconds, waitMs: 1000 * allReduceSeconds }, images)
  }

  /** Null: too few steps were seen in any group; or the run is a pipeline, whose stages do not share out the same work. */
  advice(stepsLeft: number): Advice | null {
    const { seen, layout } = this.#times
    const { config } = this.#run
    if (seen.length === 0 || !layout || config.pipelineStages > 1) return null
    const expected = expectedOf(this.#bytes, config)
    const imagesPerStep = seen.at(-1)?.imagesPerStep ?? 0
    const now = seen.find((group) => group.layout === layout)
    return {
      basis: basisOf(seen),
      seen: seen
        .map(({ layout: { seats }, steps, stepMs }) => ({ workers: seats.length, steps, stepMs }))
        .sort((a, b) => a.workers - b.workers),
      forecasts: forecasts(layout, seen, expected, { imagesPerStep, stepsLeft, mostWorkers: config.lanes }),
      changes: now ? changes(layout, this.#bytes, now.waitMs, now.stepMs, config) : [],
    }
  }
}

function basisOf(seen: readonly SeenGroup[]): string {
  const numbers = [...new Set(seen.map(({ layout }) => layout.seats.length))].sort((a, b) => a - b)
  const shares = new Set(
    seen.map(({ layout }) => crowding(layout).parts / layout.seats.length / crowding(layout).single),
  )
  const listed = numbers.join(', ')
  if (numbers.length === 1)
    return `only ${listed} worker${listed === '1' ? '' : 's'} seen: what of a step is shared out is not known, and the ranges are as wide`
  if (shares.size === 1)
    return `${listed} workers seen, which share the same cores: what of a step is shared out is not known, and the ranges are as wide`
  return `${listed} workers seen`
}
