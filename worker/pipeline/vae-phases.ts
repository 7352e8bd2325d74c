import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import { rowsOfLanes } from '../../shared/core/schedule.ts'
import { labelClasses } from '../../shared/model/spec.ts'
import type { Tensor } from '../backend/backend.ts'
import { rising } from '../model/annealing.ts'
import { tail } from '../step/model-state.ts'
import { evaluateStage, forward, type StageInputs } from './stage-forward.ts'
import { StageGradients } from './stage-gradients.ts'
import type { StagePhase, StageResult } from './stage-phase.ts'
import {
  type MicroBatch,
  microBatchesOf,
  runStage,
  type StageParts,
  type StagePlace,
  type StageWork,
} from './stage-run.ts'

const networks = ['encoder', 'decoder']

/** What a stage of a VAE does in a step: one phase, whose micro-batches go through all stages and back. */
export function vaePhases(parts: StageParts, place: StagePlace): StagePhase[] {
  const run = () => new VaeStep(parts, place).run()
  return [{ name: 'vae', updates: networks, scalars: ['reconstruction', 'kl'], batch: 0, run }]
}

interface Reads {
  readonly images: Float32Array | null
  readonly noise: Float32Array | null
  readonly labels: Float32Array | null
}

class VaeStep implements StageWork {
  readonly goesBack = true
  readonly #parts: StageParts
  readonly #place: StagePlace
  readonly #gradients: StageGradients
  readonly #globalRows: number
  readonly #start: number
  readonly #beta: number
  readonly #tail = new Float64Array(tail.floats)

  constructor(parts: StageParts, place: StagePlace) {
    this.#parts = parts
    this.#place = place
    const { plan, watch } = place
    const range = plan.batches[0] ?? { start: 0, end: 0 }
    this.#start = range.start
    this.#globalRows = range.end - range.start
    this.#beta = rising(parts.config.beta, plan.epochs, parts.config.klWarmupEpochs)
    this.#gradients = new StageGradients(parts, networks, watch)
  }

  async run(): Promise<StageResult> {
    const { config } = this.#parts
    const batches = microBatchesOf(config, this.#place, this.#globalRows)
    await runStage(this.#parts, this.#place, batches, this)
    return { sums: this.#gradients.sums, tail: this.#tail }
  }

  async forward(batch: MicroBatch, x: Float32Array | null): Promise<Float32Array> {
    const { stage, backend, bound } = this.#parts
    const reads = await this.#reads(batch)
    const inputs = () => this.#inputs(reads, batch, this.#tensor(x ?? reads.images, batch))
    const y = await backend.compute(() => forward(backend.ops, stage, bound.tensors, inputs()).y)
    this.#place.watch.lap('forward')
    return y
  }

  /**
   * Goes forward again, with a tape, and back: between the two only the input of a micro-batch is kept (re-materialisation, Huang et
   * al. 2019, section 2.3).
   */
  async backward(
    batch: MicroBatch,
    x: Float32Array | null,
    dy: Float32Array | null,
    dx: Float32Array | null,
  ): Promise<void> {
    const { stage, backend, bound, config } = this.#parts
    if (stage.first) this.#add(tail.checksum, sampleChecksum(this.#ids(batch)))
    if (batch.rows === 0) return this.#gradients.addNothing(batch)
    const reads = await this.#reads(batch)
    const settings = { beta: this.#beta, freeBits: config.freeBits }
    const scalars = await this.#gradients.add(batch, x && dx && { x, dx }, (held) => {
      const inputs = this.#inputs(reads, batch, held ?? this.#tensor(reads.images, batch))
      const behind = { ...inputs, dy: dy && this.#tensor(dy, batch) }
      return evaluateStage(backend.ops, stage, bound.tensors, behind, settings)
    })
    const { reconstruction = 0, kl = 0, weighted = 0 } = scalars
    this.#add(tail.loss, [reconstruction + weighted, reconstruction, kl])
  }

  #ids({ lanes }: MicroBatch): Uint32Array {
    const { inputs, config } = this.#parts
    const { first, last } = rowsOfLanes(lanes, config.lanes, this.#globalRows)
    return inputs.ids(this.#place.plan.epoch, { start: this.#start + first, end: this.#start + last })
  }

  #add(first: number, values: readonly number[]): void {
    for (const [index, value] of values.entries()) this.#tail[first + index] = (this.#tail[first + index] ?? 0) + value
  }

  /** What a stage reads of a micro-batch. */
  async #reads(batch: MicroBatch): Promise<Reads> {
    const { stage, inputs } = this.#parts
    const { step, epoch } = this.#place.plan
    const ids = [...this.#ids(batch)]
    const reads = {
      images: stage.first || stage.outputSize === null ? await inputs.pixels(epoch, ids) : null,
      noise: stage.heads ? inputs.noise(step, 0, batch.lanes, this.#globalRows) : null,
      labels: stage.spec.conditional ? await inputs.labels(ids, labelClasses) : null,
    }
    this.#place.watch.lap('input')
    return reads
  }

  #tensor<Values extends Float32Array | null>(values: Values, { rows }: MicroBatch): Tensor {
    return this.#parts.backend.ops.input(values ?? new Float32Array(0), [rows, (values?.length ?? 0) / rows])
  }

  /** As tensors of an evaluation. */
  #inputs({ images, noise, labels }: Reads, batch: MicroBatch, x: Tensor): StageInputs {
    const tensor = (values: Float32Array | null) => values && this.#tensor(values, batch)
    return {
      ...{ x, noise: tensor(noise), dy: null, labels: tensor(labels) },
      images: this.#parts.stage.outputSize === null ? tensor(images) : null,
      ...{ rows: batch.rows, globalRows: this.#globalRows },
    }
  }
}
