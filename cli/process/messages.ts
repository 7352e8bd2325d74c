import type { WorkerOptions } from '../../worker/main.ts'
import type { CoordinatorSettings } from '../run-coordinator.ts'

/** Between `train` and its children, over Node's IPC channel. A child ends when the channel does. */
export type ToCoordinatorProcess =
  | { kind: 'start'; settings: CoordinatorSettings }
  | { kind: 'stop' }
  | { kind: 'workerExited'; workerId: string; processId: number; reason: string }
  | { kind: 'giveUp'; reason: string }
export type FromCoordinatorProcess = {
  http: string
  kind: 'listening'
  endpoint: string
  folder: string
  workers: number
  /** Workers at first, where that is not their greatest number. */
  startWorkers: number | null
  threads: number | null
}
export type ToWorkerProcess = { kind: 'start'; options: WorkerOptions } | { kind: 'drain'; reason: string }
