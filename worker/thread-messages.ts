import type { AlgorithmChoice } from '../shared/collective/algorithm.ts'
import type { CompressionPlan } from '../shared/compression/compression-plan.ts'
import type { ResidualOutcome } from '../shared/compression/residuals.ts'
import type { LaneDeal } from '../shared/core/schedule.ts'
import type { Peer, StateIdentity, ToCoordinator, ToWorker } from '../shared/protocol/control.ts'
import type { HostFiles } from '../shared/protocol/file-lane.ts'
import type { Wire } from '../shared/transport/transport.ts'
import type { MetricsPlace } from './metrics/metrics-server.ts'
import type { Parcel } from './pipeline/handover.ts'
import type { MemoryRegion } from './step/model-state.ts'
import type { WorkerLogOptions } from './worker-log.ts'

/** What the communication thread starts with. */
export interface ThreadData {
  readonly coordinator: string
  readonly workerId: string
  readonly dataBind: string
  readonly advertise: string | null
  /** Null: nowhere. */
  readonly metrics: MetricsPlace | null
  readonly log: WorkerLogOptions
  readonly connectTimeoutMs: number
  readonly reconnectTimeoutMs: number
  /** Shared counters: see `counter`. */
  readonly counters: SharedArrayBuffer
}

/** Places in the shared counters. The identity of the state is `generation` and `step`; `holds` is 0 where there is none. */
export const counter = {
  step: 0,
  tensors: 1,
  generation: 2,
  holds: 3,
  /** Generation that was aborted last, told to the main thread where it waits. */
  aborted: 4,
  /** Reductions that the main thread itself has begun and finished in this generation. */
  entered: 5,
  reduced: 6,
  /** In garbage collections of the main thread; wraps around. */
  collectingMicros: 7,
  /** Of a device with a memory of its own (DeviceUse); the times wrap around. */
  uploadMicros: 8,
  readMicros: 9,
  deviceKiB: 10,
  kernelMicros: 11,
  count: 12,
} as const

/** A group that this worker is to take part in. */
export interface GroupPlan {
  readonly generation: number
  readonly rank: number
  readonly peers: readonly Peer[]
  /** Lanes of each rank (of each pipeline), where their sums must not depend on the world size; else null. */
  readonly lanes: LaneDeal | null
  readonly algorithm: AlgorithmChoice
  readonly wire: Wire
  /** Ranks reach each other through the coordinator alone. */
  readonly hub: boolean
  /** Of each pipeline (shared/pipeline/ranks.ts); 1: each rank holds the whole model. */
  readonly stages: number
}

/** Main thread → communication thread. */
export type ToThread =
  | {
      kind: 'memory'
      memory: WebAssembly.Memory
      regions: readonly MemoryRegion[]
      sumScratch: MemoryRegion
      compression: CompressionPlan | null
    }
  /** What is noted from now on goes through this memory (trace.ts). */
  | { kind: 'trace'; memory: SharedArrayBuffer }
  | { kind: 'send'; message: ToCoordinator; bytes?: Uint8Array }
  | { kind: 'hello'; message: Extract<ToCoordinator, { kind: 'hello' }> }
  | { kind: 'connected'; runId: string; heartbeatMs: number }
  | ({ kind: 'form' } & GroupPlan)
  | {
      kind: 'allReduce'
      id: number
      step: number
      bucket: number
      offsets: readonly number[]
      count: number
      exact: number
    }
  /** Comes behind each step, where gradients are compressed, and where the state is replaced. */
  | { kind: 'settle'; outcome: ResidualOutcome }
  /** `into`: a memory for another rank's state, in place of this rank's own. */
  | {
      kind: 'fetchState'
      id: number
      source: number
      identity: StateIdentity
      into: { memory: WebAssembly.Memory; regions: readonly MemoryRegion[] } | null
    }
  /** Sends a parcel to a stage beside this one; it has left the memory when that is done. */
  | { kind: 'give'; id: number; rank: number; parcel: Parcel }
  /** Waits for one from there. */
  | { kind: 'take'; id: number; rank: number; parcel: Parcel }
  | { kind: 'abort'; reason: string }
  | { kind: 'close' }

/** Communication thread → main thread. */
export type FromThread =
  | { kind: 'open'; endpoint: string }
  | { kind: 'message'; message: ToWorker; bytes: Uint8Array | null }
  /** A reduction or a fetch is done. */
  | { kind: 'done'; id: number; bytes: number }
  | { kind: 'failed'; id: number; reason: string }
  /** All ranks of the generation are on this host. */
  | { kind: 'host'; files: HostFiles }
  /** Whether the coordinator is there. */
  | { kind: 'connection'; connected: boolean }
  /** False: no step until further notice; the coordinator has been away for too long. */
  | { kind: 'mayStep'; allowed: boolean }
  | { kind: 'lost'; reason: string }
  | { kind: 'closed' }
