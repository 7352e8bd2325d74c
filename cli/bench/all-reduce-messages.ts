import type { Peer } from '../../shared/protocol/control.ts'
import type { CollectiveOptions } from './collective-options.ts'

/** Of the one group that there is. */
export const runId = 'bench'
export const generation = 1

export interface AllReduceWorkerOptions {
  /** Address of the parent's control server. */
  readonly coordinator: string
  readonly workerId: string
  /** Of the largest bucket. */
  readonly largestBytes: number
  readonly collective: CollectiveOptions
}

/** The main thread itself where all workers are on one host (worker/host-reduction.ts). */
export type ReducingThread = 'main' | 'communication'

/** Between `bench allreduce` and its workers, over Node's IPC channel. A worker ends when the channel does. */
export type ToAllReduceProcess =
  | { kind: 'start'; options: AllReduceWorkerOptions }
  | { kind: 'form'; rank: number; peers: readonly Peer[] }
  | { kind: 'measure'; bytes: number; iterations: number }
  | { kind: 'end' }
export type FromAllReduceProcess =
  | { kind: 'open'; endpoint: string }
  /**
   * Seconds of each iteration; bytes that this rank sent in the last one; what is wrong with a sum, null where all are right; which of a
   * worker's threads reduced.
   */
  | { kind: 'measured'; seconds: readonly number[]; sentBytes: number; wrong: string | null; by: ReducingThread }
