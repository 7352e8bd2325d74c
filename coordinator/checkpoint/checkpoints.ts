import { RingleaderError } from '../../shared/core/errors.ts'
import type { Schedule } from '../../shared/core/schedule.ts'
import type { PreparedRun } from '../prepare-run.ts'
import { CheckpointIntake } from './checkpoint-intake.ts'
import {
  type Manifest,
  newestCheckpoint,
  removeCheckpointsAfter,
  removeOldCheckpoints,
  type StoredCheckpoint,
} from './checkpoint-store.ts'

/** The checkpoints of one run: takes them in, keeps a few, gives the newest. */
export class Checkpoints {
  readonly #run: PreparedRun
  readonly #intake: CheckpointIntake
  #newest: Pick<Manifest, 'step' | 'weightsSha256'> | null

  constructor(run: PreparedRun, schedule: Schedule) {
    this.#run = run
    this.#intake = new CheckpointIntake(run, schedule)
    this.#newest = run.checkpoint?.manifest ?? null
  }

  /** Step of the newest one on disk; 0 where there is none. */
  get step(): number {
    return this.#newest?.step ?? 0
  }

  get weightsSha256(): string | null {
    return this.#newest?.weightsSha256 ?? null
  }

  /** The manifest, once a checkpoint is whole. Errors are those of the disk. */
  take(...message: Parameters<CheckpointIntake['take']>): Manifest | null {
    const stored = this.#intake.take(...message)
    if (!stored) return null
    this.#newest = stored
    removeOldCheckpoints(this.#run.folder.checkpoints, this.#run.config.keepCheckpoints)
    return stored
  }

  abandon(): void {
    this.#intake.abandon()
  }

  /** The newest one on disk that is whole. */
  newest(): StoredCheckpoint {
    const { folder, checkpoint } = this.#run
    const newest = newestCheckpoint(folder.checkpoints, (reason) => this.#damaged(reason))
    if (newest) return newest
    if (checkpoint) return checkpoint
    throw new RingleaderError('checkpoint-missing', 'no worker holds the state, and no checkpoint can be read')
  }

  /** Drops those after a step, and the one on its way; the step of the newest that is left. */
  goBackTo(step: number): number {
    const { checkpoints } = this.#run.folder
    this.#intake.abandon()
    removeCheckpointsAfter(checkpoints, step)
    this.#newest = newestCheckpoint(checkpoints, (reason) => this.#damaged(reason))?.manifest ?? null
    return this.step
  }

  #damaged(reason: string): void {
    this.#run.folder.event('alarm', { alarm: 'checkpoint-damaged', reason })
  }
}
