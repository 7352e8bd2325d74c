import type { StepPlan } from '../../shared/core/schedule.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import type { Evaluation, Ops, Parameters, Tensor } from '../backend/backend.ts'

/**
 * A function of the noise, row by row, by networks that no phase before its last user moves. Phases with the same function
 * share one evaluation.
 */
export type Prepare = (ops: Ops, parameters: Parameters, noise: Tensor) => Tensor

/** Where a run stands. */
export type Moment = Pick<StepPlan, 'step' | 'epochs'>

/** Random numbers that a phase reads besides the latent vector: for every row so many, normal or uniform in [0, 1). */
export interface Draw {
  readonly size: number
  readonly distribution: 'normal' | 'uniform'
}

/** What the rows of an evaluation are made of. */
export interface PhaseInputs {
  /** Images [rows, pixels] in the model's pixel range; null where the phase reads no batch. */
  readonly images: Tensor | null
  /** Latent vectors [rows, latentSize], or what `prepare` made of them. */
  readonly noise: Tensor
  /** One-hot labels [rows, classes]: those of the images, or drawn ones; null where the model reads none. */
  readonly labels: Tensor | null
  /** [rows, size] each, by name. */
  readonly draws: Readonly<Record<string, Tensor>>
  /** Rows of each lane, in order; they sum up to `rows`. */
  readonly laneRows: readonly number[]
  readonly rows: number
  /** Rows of the whole batch, over all ranks. */
  readonly globalRows: number
}

/** One synchronous update inside a step: gradients of one loss for the networks that it moves. */
export interface Phase {
  readonly name: string
  readonly updates: readonly string[]
  /** Index of the step's batch that this phase reads; null: it needs no images. */
  readonly batch: number | null
  /** Makes of the noise what `evaluate` gets in its place; null: nothing. */
  readonly prepare: Prepare | null
  /** Random numbers besides the noise, by name. */
  readonly draws: Readonly<Record<string, Draw>>
  /** Names of the further scalars of `evaluate`, fixed so that ranks can add them up. */
  readonly scalars: readonly string[]
  /**
   * The loss is the sum over these rows divided by `globalRows`, so that the ranks' gradients add up to that of the whole
   * batch.
   */
  evaluate(ops: Ops, parameters: Parameters, inputs: PhaseInputs): Evaluation
}

export interface Model {
  readonly spec: ModelSpec
  /** The updates of a step that has `batches` batches, and its number and epoch for what changes over time. */
  phases(batches: number, at: Moment): readonly Phase[]
  /**
   * Images [count, pixels] in 0…1 from latent vectors [count, latentSize] and, for a conditional model, one-hot labels; null:
   * it makes none.
   */
  readonly generate: ((ops: Ops, parameters: Parameters, noise: Tensor, labels: Tensor | null) => Tensor) | null
  /** KL from the prior, by image and latent dimension [rows, latentSize], in nats; null: it is no VAE. */
  readonly divergence: ((ops: Ops, parameters: Parameters, images: Tensor, labels: Tensor | null) => Tensor) | null
  /** Images in 0…1 from the mean of what images [count, pixels] in the pixel range may have been made of; null: it cannot. */
  readonly reconstruct: ((ops: Ops, parameters: Parameters, images: Tensor, labels: Tensor | null) => Tensor) | null
}
