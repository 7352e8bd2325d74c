/** One synchronous update inside a step of a pipeline. All ranks go through the same ones, whatever they have to do in each. */
export interface StagePhase {
  readonly name: string
  /** Networks that it moves, of the whole model. */
  readonly updates: readonly string[]
  /** Names of what the tail has behind the loss. */
  readonly scalars: readonly string[]
  /** Index of the step's batch that it reads; null: none. */
  readonly batch: number | null
  run(): Promise<StageResult>
}

export interface StageResult {
  /** In how many partial sums this stage's gradients lie. */
  readonly sums: number
  /** What this rank adds to the tail: its part of the loss and scalars, and the checksum of its samples. */
  readonly tail: Float64Array
}
