import { type LaneNode, mergeHalves } from '../../shared/collective/lanes.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import { dealtLanes, type LaneRange, rowsOfLanes, type StepPlan } from '../../shared/core/schedule.ts'
import { labelClasses } from '../../shared/model/spec.ts'
import { oneForwardOneBackward } from '../../shared/pipeline/schedule.ts'
import type { Stage } from '../../shared/pipeline/stages.ts'
import type { Backend, BoundParameters, GradientTarget, Tensor } from '../backend/backend.ts'
import { microBatches } from '../step/cut-lanes.ts'
import type { Group, PipelineGroup } from '../step/group.ts'
import { type ModelState, tail } from '../step/model-state.ts'
import type { StepInputs } from '../step/step-inputs.ts'
import type { Stopwatch } from '../step/stopwatch.ts'
import type { Boundary } from './boundary.ts'
import { evaluateStage, forward, type StageInputs } from './vae-stage.ts'

export interface StageStepParts {
  readonly config: RunConfig
  readonly stage: Stage
  readonly state: ModelState
  readonly backend: Backend
  readonly bound: BoundParameters
  readonly inputs: StepInputs
  readonly boundary: Boundary
  readonly pixels: number
}

/** Samples of one micro-batch. */
interface MicroBatch {
  readonly lanes: LaneRange
  readonly rows: number
  readonly ids: Uint32Array
}

/** One step of one stage, up to its gradients: 1F1B over the micro-batches of its pipeline. */
export class StageStep {
  readonly #parts: StageStepParts
  readonly #plan: StepPlan
  readonly #group: PipelineGroup
  readonly #rank: number
  readonly #beta: number
  readonly #watch: Stopwatch
  readonly #batches: readonly MicroBatch[]
  readonly #globalRows: number
  /** Subtrees of the lane tree that are added up, in order; in a run that is not reproducible one sum. */
  readonly #sums: LaneNode[] = []
  /** What this rank adds to the tail: its part of the losses, and the checksum of its samples. */
  readonly totals = new Float64Array(tail.floats)
  at = -1 // which micro-batch

  constructor(
    parts: StageStepParts,
    plan: StepPlan,
    group: PipelineGroup,
    { rank, deal }: Pick<Group, 'rank' | 'deal'>,
    beta: number,
    watch: Stopwatch,
  ) {
    this.#parts = parts
    this.#plan = plan
    this.#group = group
    this.#rank = rank
    this.#beta = beta
    this.#watch = watch
    const { config, inputs } = parts
    const { replica } = group.place
    const range = plan.batches[0] ?? { start: 0, end: 0 }
    this.#globalRows = range.end - range.start
    this.#batches = microBatchesOf(config, dealtLanes(deal, replica)).map((lanes) => {
      const { first, last } = rowsOfLanes(lanes, config.lanes, this.#globalRows)
      const ids = inputs.ids(plan.epoch, { start: range.start + first, end: range.start + last })
      return { lanes, rows: last - first, ids }
    })
  }

  /** In how many partial sums the gradients lie. */
  async run(): Promise<number> {
    const { stage, stages } = this.#group.place
    for (const { kind, microBatch } of oneForwardOneBackward(stage, stages, this.#batches.length)) {
      this.at = microBatch
      const batch = this.#batches[microBatch]
      if (batch && kind === 'forward') await this.#forward(batch, microBatch)
      else if (batch) await this.#backward(batch, microBatch)
    }
    return this.#sums.length
  }

  async #forward({ rows, ...batch }: MicroBatch, number: number): Promise<void> {
    const { stage, backend, bound, boundary } = this.#parts
    if (rows === 0) return
    await boundary.takeInput(this.#group, this.#rank, this.#plan.step, number, rows)
    if (!stage.first) this.#watch.lap('pipelineWait')
    if (stage.outputSize === null) return // goes forward and back at once
    const reads = await this.#reads({ rows, ...batch }, number)
    const y = await backend.compute(() => forward(backend.ops, stage, bound.tensors, this.#inputs(reads, rows, null)).y)
    this.#watch.lap('forward')
    await boundary.giveOutput(this.#group, this.#rank, this.#plan.step, number, y)
  }

  /**
   * Goes forward again, with a tape, and back: between the two only the input of a micro-batch is kept (re-materialisation, Huang et
   * al. 2019, section 2.3).
   */
  async #backward(batch: MicroBatch, number: number): Promise<void> {
    const { config, stage, state, backend, bound, boundary } = this.#parts
    const { rows, lanes, ids } = batch
    const part = this.#sums.length === 0 || config.reproducible ? this.#sums.length : 1
    if (stage.first) this.#add(tail.checksum, sampleChecksum(ids))
    if (rows === 0) this.#clear(part)
    else {
      const step = [this.#group, this.#rank, this.#plan.step, number, rows] as const
      const dy = stage.outputSize === null ? null : await boundary.takeGradient(...step)
      if (dy) this.#watch.lap('pipelineWait')
      const reads = await this.#reads(batch, number)
      const dx = stage.first ? null : await boundary.inputGradient(number, rows)
      const size = (reads.x?.length ?? 0) / rows
      const held = dx && backend.hold(() => backend.ops.input(reads.x ?? dx, [rows, size]))
      const targets: GradientTarget[] = [...bound.tensors].flatMap(([name, parameter]) => {
        const gradient = state.slots.find((slot) => slot.name === name)?.gradients[part]
        return gradient ? [{ parameter, gradient }] : []
      })
      if (held && dx) targets.push({ parameter: held.tensor, gradient: dx })
      const settings = { beta: this.#beta, freeBits: config.freeBits }
      const scalars = await backend.gradients(() => {
        const inputs = {
          ...this.#inputs(reads, rows, held?.tensor ?? null),
          dy: dy && backend.ops.input(dy, [rows, stage.outputSize ?? 0]),
        }
        const evaluation = evaluateStage(backend.ops, stage, bound.tensors, inputs, settings)
        this.#watch.lap('forward')
        return evaluation
      }, targets)
      held?.release()
      this.#watch.lap('backward')
      if (dx) boundary.giveGradient(...step)
      const { reconstruction = 0, kl = 0, weighted = 0 } = scalars
      this.#add(tail.loss, [reconstruction + weighted, reconstruction, kl])
    }
    this.#sum(lanes, part, rows)
  }

  /** Adds the gradients of some lanes, in this part of the state, to those before them. */
  #sum(lanes: LaneRange, part: number, rows: number): void {
    const add = (into: number, from: number) => {
      const { kernel, networks } = this.#parts.state
      for (const { gradients, count } of networks.values())
        kernel.add(gradients[into] ?? 0, gradients[from] ?? 0, count)
    }
    if (this.#parts.config.reproducible) {
      this.#sums.push({ first: lanes.first, lanes: lanes.last - lanes.first })
      mergeHalves(this.#sums, add)
    } else if (part === 0) this.#sums.push({ first: lanes.first, lanes: lanes.last - lanes.first })
    else if (rows > 0) add(0, part)
  }

  #clear(part: number): void {
    const { state } = this.#parts
    for (const { gradients, count } of state.networks.values()) state.floats(gradients[part] ?? 0, count).fill(0)
  }

  #add(first: number, values: readonly number[]): void {
    for (const [index, value] of values.entries())
      this.totals[first + index] = (this.totals[first + index] ?? 0) + value
  }

  /** What a stage reads of a micro-batch. */
  async #reads({ lanes, ids, rows }: MicroBatch, number: number): Promise<Reads> {
    const { stage, inputs, boundary } = this.#parts
    const { step, epoch } = this.#plan
    const images = stage.first || stage.outputSize === null ? await inputs.pixels(epoch, [...ids]) : null
    const reads = {
      images,
      x: stage.first ? images : boundary.input(number, rows),
      noise: stage.heads ? inputs.noise(step, 0, lanes, this.#globalRows) : null,
      labels: stage.spec.conditional ? await inputs.labels([...ids], labelClasses) : null,
    }
    this.#watch.lap('input')
    return reads
  }

  /** As tensors of an evaluation; `x`: the input, where a gradient goes there. */
  #inputs({ x, images, noise, labels }: Reads, rows: number, held: Tensor | null): StageInputs {
    const { ops } = this.#parts.backend
    const tensor = (values: Float32Array | null) => values && ops.input(values, [rows, values.length / rows])
    return {
      x: held ?? (tensor(x) as Tensor),
      noise: tensor(noise),
      images: this.#parts.stage.outputSize === null ? tensor(images) : null,
      dy: null,
      labels: tensor(labels),
      ...{ rows, globalRows: this.#globalRows },
    }
  }
}

interface Reads {
  readonly x: Float32Array | null
  readonly images: Float32Array | null
  readonly noise: Float32Array | null
  readonly labels: Float32Array | null
}

/** Lanes that are computed as one micro-batch: each alone in a reproducible run, as a plain one has them. */
function microBatchesOf({ reproducible, accumulate }: RunConfig, lanes: LaneRange): LaneRange[] {
  return microBatches(lanes, reproducible ? lanes.last - lanes.first : accumulate)
}

/** Rows of the largest micro-batch that a pipeline may have. */
export function mostRows(config: RunConfig): number {
  const rows = microBatchesOf(config, { first: 0, last: config.lanes }).map((lanes) => {
    const { first, last } = rowsOfLanes(lanes, config.lanes, config.batchSize)
    return last - first
  })
  const most = Math.max(1, ...rows)
  // Of fewer lanes a micro-batch is as many, rounded up.
  return Math.min(config.batchSize, most + Math.ceil(config.batchSize / config.lanes))
}
