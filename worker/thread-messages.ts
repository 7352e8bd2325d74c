import type { Peer, ToCoordinator, ToWorker } from '../shared/protocol/control.ts'

/** What the communication thread starts with. */
export interface ThreadData {
  readonly coordinator: string
  readonly workerId: string
  readonly dataBind: string
  readonly connectTimeoutMs: number
  /** Shared counters: [committed step, tensor count]. */
  readonly counters: SharedArrayBuffer
}

/** Main thread → communication thread. */
export type ToThread =
  | { kind: 'memory'; memory: WebAssembly.Memory }
  | { kind: 'send'; message: ToCoordinator; bytes?: Uint8Array }
  | { kind: 'connected'; runId: string; heartbeatMs: number }
  | { kind: 'form'; generation: number; rank: number; peers: readonly Peer[] }
  | { kind: 'allReduce'; id: number; step: number; bucket: number; offset: number; count: number }
  | { kind: 'abort'; reason: string }
  | { kind: 'close' }

/** Communication thread → main thread. */
export type FromThread =
  | { kind: 'open'; endpoint: string }
  | { kind: 'message'; message: ToWorker; bytes: Uint8Array | null }
  | { kind: 'reduced'; id: number; bytes: number }
  | { kind: 'reduceFailed'; id: number; reason: string }
  | { kind: 'lost'; reason: string }
  | { kind: 'closed' }
