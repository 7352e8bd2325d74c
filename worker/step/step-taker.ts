import type { GridKind } from '../../shared/core/grid-kind.ts'
import type { Group } from './group.ts'
import type { StepResult } from './trainer.ts'
import type { Votes } from './votes.ts'

/** What a group needs of whoever takes its steps: of the whole model (trainer.ts), or of a stage of a pipeline (worker/pipeline). */
export interface StepTaker {
  /** Computes, reduces, checks and commits step number `step` (0-based). On an error the state is as before. */
  step(step: number, group: Group, votes: Votes): Promise<StepResult>
  /** Whether this rank can make its part of wide gradients out of all ranks' factors. */
  readonly takesFactors: boolean
  /** The weights in the shared memory were replaced. */
  refresh(): void
  /** Images [count, pixels] in 0…1 of latent vectors that depend on the seed alone; null: this rank has none to show. */
  samples(picture: GridKind, count: number, group: Group): Promise<Float32Array | null>
  /** What the model makes after so many steps, in figures (docs/stability.md). */
  inspect(steps: number): Promise<Record<string, number>>
}
