import type { ModelSpec } from '../../shared/core/model-spec.ts'
import type { Evaluation, Ops, Parameters, Tensor } from '../backend/backend.ts'

/**
 * A function of the noise, row by row, by networks that no phase before its last user moves. Phases with the same function
 * share one evaluation.
 */
export type Prepare = (ops: Ops, parameters: Parameters, noise: Tensor) => Tensor

/** One synchronous update inside a step: gradients of one loss for the networks that it moves. */
export interface Phase {
  readonly name: string
  readonly updates: readonly string[]
  /** Index of the step's batch that this phase reads; null: it needs no images. */
  readonly batch: number | null
  /** Columns of noise per row. */
  readonly noiseSize: number
  /** Makes of the noise what `evaluate` gets in its place; null: nothing. */
  readonly prepare: Prepare | null
  /** Names of the further scalars of `evaluate`, fixed so that ranks can add them up. */
  readonly scalars: readonly string[]
  /**
   * `images` [rows, pixels] in the model's pixel range, `noise` [rows, noiseSize] normal, or what `prepare` made of it. The
   * loss is the sum over these rows divided by `globalRows`, so that the ranks' gradients add up to that of the whole batch.
   */
  evaluate(ops: Ops, parameters: Parameters, images: Tensor | null, noise: Tensor, globalRows: number): Evaluation
}

export interface Model {
  readonly spec: ModelSpec
  /** The updates of a step that has `batches` batches. */
  phases(batches: number): readonly Phase[]
  /** Images [count, pixels] in 0…1 from noise [count, latentSize]. */
  generate(ops: Ops, parameters: Parameters, noise: Tensor): Tensor
}
