import type { RunConfig } from '../../shared/core/config.ts'
import { dealtLanes, type LaneDeal, type LaneRange, rowsOfLanes, type StepPlan } from '../../shared/core/schedule.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import { oneForwardOneBackward } from '../../shared/pipeline/schedule.ts'
import type { Stage } from '../../shared/pipeline/stages.ts'
import type { Backend, BoundParameters } from '../backend/backend.ts'
import { microBatches } from '../step/cut-lanes.ts'
import type { PipelineGroup } from '../step/group.ts'
import type { ModelState } from '../step/model-state.ts'
import type { SampleSource, StepInputs } from '../step/step-inputs.ts'
import type { Stopwatch } from '../step/stopwatch.ts'
import type { Boundary } from './boundary.ts'

/** What a stage computes with. */
export interface StageParts {
  readonly config: RunConfig
  /** The whole model. */
  readonly spec: ModelSpec
  readonly stage: Stage
  readonly state: ModelState
  readonly backend: Backend
  readonly bound: BoundParameters
  readonly source: SampleSource
  readonly inputs: StepInputs
  readonly boundary: Boundary
}

/** Where a stage is: in which step of which group. */
export interface StagePlace {
  readonly plan: StepPlan
  readonly group: PipelineGroup
  readonly rank: number
  /** Lanes of each pipeline. */
  readonly deal: LaneDeal
  readonly watch: Stopwatch
  /** Which micro-batch is under way, for the trace; −1: none. */
  at: number
}

/** Rows of a batch that go through the stages at once. */
export interface MicroBatch {
  readonly lanes: LaneRange
  readonly rows: number
}

/** What a stage does with a micro-batch on its way through. `x`: what the stage before gave for it, null at the first one. */
export interface StageWork {
  /** Gradients come back. Else what goes through is only bounded that way: each stage says when it is done with one. */
  readonly goesBack: boolean
  /** Of this stage, which is not the last: [rows, outputSize]. */
  forward(batch: MicroBatch, x: Float32Array | null): Promise<Float32Array>
  /** `dy`: from the stage behind, null at the last one; `dx`: where the gradient for the stage before goes, null at the first. Told of empty ones too. */
  backward(batch: MicroBatch, x: Float32Array | null, dy: Float32Array | null, dx: Float32Array | null): Promise<void>
}

/** Micro-batches of this rank's pipeline, of so many rows over all pipelines. */
export function microBatchesOf(config: RunConfig, { group, deal }: StagePlace, globalRows: number): MicroBatch[] {
  return cutLanes(config, dealtLanes(deal, group.place.replica)).map((lanes) => {
    const { first, last } = rowsOfLanes(lanes, config.lanes, globalRows)
    return { lanes, rows: last - first }
  })
}

/**
 * Takes micro-batches through this stage by 1F1B. The last stage does with each what `backward` is as soon as it comes. `firstNumber`: of the
 * micro-batches of a step, so that none comes twice.
 */
export async function runStage(
  { stage, boundary }: Pick<StageParts, 'stage' | 'boundary'>,
  place: StagePlace,
  batches: readonly MicroBatch[],
  work: StageWork,
  firstNumber = 0,
): Promise<void> {
  const { group, rank, watch, plan } = place
  const isLast = stage.outputSize === null
  for (const { kind, microBatch } of oneForwardOneBackward(group.place.stage, group.place.stages, batches.length)) {
    const batch = batches[microBatch]
    if (!batch) continue
    place.at = microBatch
    const { rows } = batch
    const number = firstNumber + microBatch
    const step = [group, rank, plan.step, number, rows] as const
    const input = () => (stage.first ? null : boundary.input(number, rows))
    if (rows === 0) {
      if (kind === 'backward') await work.backward(batch, null, null, null)
    } else if (kind === 'forward') {
      await boundary.takeInput(...step)
      if (!stage.first) watch.lap('pipelineWait')
      if (!isLast) await boundary.giveOutput(group, rank, plan.step, number, await work.forward(batch, input()))
    } else if (work.goesBack) {
      const dy = isLast ? null : await boundary.takeGradient(...step)
      if (dy) watch.lap('pipelineWait')
      const dx = stage.first ? null : await boundary.inputGradient(number, rows)
      await work.backward(batch, input(), dy, dx)
      if (dx) boundary.giveGradient(...step)
    } else {
      if (!isLast) {
        await boundary.takeReceipt(...step)
        watch.lap('pipelineWait')
      }
      await work.backward(batch, input(), null, null)
      if (!stage.first) await boundary.giveReceipt(...step)
    }
  }
  place.at = -1
}

/** Lanes that are computed as one micro-batch: each alone in a reproducible run, as a plain one has them. */
function cutLanes({ reproducible, accumulate }: RunConfig, lanes: LaneRange): LaneRange[] {
  return microBatches(lanes, reproducible ? lanes.last - lanes.first : accumulate)
}

/** Rows of the largest micro-batch that a pipeline may have. */
export function mostRows(config: RunConfig): number {
  const rows = cutLanes(config, { first: 0, last: config.lanes }).map((lanes) => {
    const { first, last } = rowsOfLanes(lanes, config.lanes, config.batchSize)
    return last - first
  })
  const most = Math.max(1, ...rows)
  // Of fewer lanes a micro-batch is as many, rounded up.
  return Math.min(config.batchSize, most + Math.ceil(config.batchSize / config.lanes))
}
