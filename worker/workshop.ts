import type { Clock } from '../shared/core/clock.ts'
import type { Schedule } from '../shared/core/schedule.ts'
import type { Welcome } from '../shared/protocol/control.ts'
import type { Backend } from './backend/backend.ts'
import type { BlobClient } from './data/blob-client.ts'
import type { HostWindows } from './host-reduction.ts'
import type { CopyRoom } from './host-state.ts'
import type { Link } from './link.ts'
import type { StageSeat } from './pipeline/stage-workshop.ts'
import type { CheckpointSender } from './step/checkpoint-sender.ts'
import type { ModelState } from './step/model-state.ts'
import type { StepTaker } from './step/step-taker.ts'
import type { SharedTrace } from './trace/trace.ts'

/** All that a worker has once it is warm; it outlives the groups that it is in. */
export interface Workshop {
  readonly welcome: Welcome
  readonly backend: Backend
  readonly state: ModelState
  /** Where the files of workers of one host may be mapped. */
  readonly windows: HostWindows | null
  /** For what ranks of one host hold together. */
  readonly copies: CopyRoom | null
  readonly schedule: Schedule
  readonly trainer: StepTaker
  readonly sender: CheckpointSender
  readonly blobs: BlobClient
  readonly clock: Clock
  /** That this worker may use. */
  readonly threads: number
  /** Null: nobody wants to see what goes on. */
  readonly trace: SharedTrace | null
  /** Null: this worker holds the whole model. */
  readonly pipeline: StageSeat | null
  /** Ends what the warm-up has started. */
  close(): Promise<void>
}

export type WarmUp = (welcome: Welcome, link: Link, blobs: BlobClient) => Workshop | Promise<Workshop>
