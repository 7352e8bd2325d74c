import type { ResidualOutcome } from '../shared/compression/residuals.ts'
import { RingleaderError } from '../shared/core/errors.ts'
import type { StateIdentity, ToCoordinator, ToWorker } from '../shared/protocol/control.ts'
import type { HostFiles } from '../shared/protocol/file-lane.ts'
import type { Backend } from './backend/backend.ts'
import type { Parcel } from './pipeline/handover.ts'
import type { ModelState } from './step/model-state.ts'
import { counter, type FromThread, type GroupPlan, type ToThread } from './thread-messages.ts'

export type Incoming = { message: ToWorker; bytes: Uint8Array | null }

/** The thread that owns the sockets, as the main thread sees it. */
export interface CommunicationThread {
  post(message: ToThread): void
  onMessage(handler: (message: FromThread) => void): void
  /** With the error where it failed. */
  onEnd(handler: (error: Error | null) => void): void
}

/** The main thread's view of the communication thread. */
export class Link {
  readonly #thread: CommunicationThread
  readonly #requests = new Map<number, { resolve(bytes: number): void; reject(error: Error): void }>()
  /** Shared with the thread: see `counter`. */
  readonly counters: Int32Array
  readonly #closed: Promise<void>
  #nextId = 0
  #onMessage: (incoming: Incoming) => void = () => {}
  #onLost: (reason: string) => void = () => {}
  #onConnection: (connected: boolean) => void = () => {}
  #mayStep: Promise<void> = Promise.resolve()
  #allowed: () => void = () => {}
  #connected: Promise<void> = Promise.resolve()
  #reached: () => void = () => {}
  #host: HostFiles | null = null
  /** Gradients are compressed, by the communication thread, which has the residuals. */
  #compresses = false
  readonly opened: Promise<string>

  constructor(thread: CommunicationThread, counters: Int32Array) {
    this.#thread = thread
    this.counters = counters
    let open: (endpoint: string) => void = () => {}
    let refuse: (error: Error) => void = () => {}
    let closed: () => void = () => {}
    this.opened = new Promise((resolve, reject) => {
      open = resolve
      refuse = reject
    })
    this.#closed = new Promise((resolve) => {
      closed = resolve
    })
    this.opened.catch(() => closed()) // whoever waits for it hears of it
    thread.onEnd((error) => {
      closed()
      if (!error) return
      refuse(error)
      this.#onLost(`the communication thread failed: ${error.message}`)
    })
    thread.onMessage((message) => {
      switch (message.kind) {
        case 'open':
          return open(message.endpoint)
        case 'message':
          return this.#onMessage({ message: message.message, bytes: message.bytes })
        case 'done':
          return this.#settle(message.id)?.resolve(message.bytes)
        case 'failed':
          return this.#settle(message.id)?.reject(
            new RingleaderError('collective', message.reason, { recoverable: true }),
          )
        case 'host':
          this.#host = message.files
          return
        case 'connection':
          return this.#connection(message.connected)
        case 'mayStep':
          return this.#allow(message.allowed)
        case 'lost':
          return this.#onLost(message.reason)
        case 'closed':
          return closed()
        default:
          return message satisfies never
      }
    })
  }

  onMessage(handler: (incoming: Incoming) => void): void {
    this.#onMessage = handler
  }

  onLost(handler: (reason: string) => void): void {
    this.#onLost = handler
  }

  /** Told when the coordinator is out of reach, and when it is back. */
  onConnection(handler: (connected: boolean) => void): void {
    this.#onConnection = handler
  }

  /** Files of the ranks of a generation, once all of them are known to be on one host and reduce without compression; else null. */
  host(generation: number): HostFiles | null {
    return this.#host?.generation === generation && !this.#compresses ? this.#host : null
  }

  /** Settles once a step may be taken; at once, but where the coordinator has been away for very long. */
  get mayStep(): Promise<void> {
    return this.#mayStep
  }

  /** Settles once the coordinator is there. */
  get connected(): Promise<void> {
    return this.#connected
  }

  hello(message: Extract<ToCoordinator, { kind: 'hello' }>): void {
    this.#post({ kind: 'hello', message })
  }

  send(message: ToCoordinator, bytes?: Uint8Array): void {
    this.#post(bytes ? { kind: 'send', message, bytes } : { kind: 'send', message })
  }

  useMemory(state: Pick<ModelState, 'memory' | 'regions' | 'sumScratch' | 'compression'>): void {
    const { memory, regions, sumScratch, compression } = state
    this.#compresses = compression !== null
    this.#post({ kind: 'memory', memory, regions, sumScratch, compression })
  }

  useTrace(memory: SharedArrayBuffer): void {
    this.#post({ kind: 'trace', memory })
  }

  welcomed(runId: string, heartbeatMs: number): void {
    this.#post({ kind: 'connected', runId, heartbeatMs })
  }

  form(plan: GroupPlan): void {
    this.#post({ kind: 'form', ...plan })
  }

  abort(reason: string): void {
    this.#post({ kind: 'abort', reason })
  }

  /** Bytes that this rank sent. Rejects as `collective` once the group is aborted. */
  allReduce(step: number, bucket: number, offsets: readonly number[], count: number, exact: number): Promise<number> {
    return this.#request((id) => ({ kind: 'allReduce', id, step, bucket, offsets, count, exact }))
  }

  /** What becomes of that which compressed gradients have lost since the last time. */
  settle(outcome: ResidualOutcome): void {
    if (this.#compresses) this.#post({ kind: 'settle', outcome })
  }

  /** Brings another rank's state into the shared memory, or into that of a state of its kind. */
  fetchState(
    source: number,
    identity: StateIdentity,
    into: Pick<ModelState, 'memory' | 'regions'> | null = null,
  ): Promise<number> {
    const place = into && { memory: into.memory, regions: into.regions }
    return this.#request((id) => ({ kind: 'fetchState', id, source, identity, into: place }))
  }

  /** Hands floats of the shared memory to a stage beside this one (worker/pipeline/handover.ts). */
  give(rank: number, parcel: Parcel): Promise<number> {
    return this.#request((id) => ({ kind: 'give', id, rank, parcel }))
  }

  take(rank: number, parcel: Parcel): Promise<number> {
    return this.#request((id) => ({ kind: 'take', id, rank, parcel }))
  }

  #request(make: (id: number) => ToThread): Promise<number> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#requests.set(id, { resolve, reject })
      this.#post(make(id))
    })
  }

  /** Which state this worker holds, for heartbeats and for a coordinator that comes back. */
  holds(state: StateIdentity | null): void {
    this.counters[counter.step] = state?.step ?? 0
    this.counters[counter.generation] = state?.generation ?? 0
    this.counters[counter.holds] = state ? 1 : 0
    if (!state) this.settle('clear') // residuals belong to the state that was held
  }

  uses(backend: Pick<Backend, 'tensorCount' | 'deviceUse'>): void {
    this.counters[counter.tensors] = backend.tensorCount()
    const use = backend.deviceUse?.()
    if (!use) return
    this.counters[counter.uploadMicros] = Math.round(use.uploadSeconds * 1e6) // modulo 2³²
    this.counters[counter.readMicros] = Math.round(use.readSeconds * 1e6)
    this.counters[counter.kernelMicros] = Math.round(use.kernelSeconds * 1e6)
    this.counters[counter.deviceKiB] = Math.round((use.bytes ?? 0) / 1024)
  }

  #connection(connected: boolean): void {
    this.#reached()
    if (!connected)
      this.#connected = new Promise((resolve) => {
        this.#reached = resolve
      })
    this.#onConnection(connected)
  }

  #allow(allowed: boolean): void {
    this.#allowed()
    if (allowed) return
    this.#mayStep = new Promise((resolve) => {
      this.#allowed = resolve
    })
  }

  async close(): Promise<void> {
    this.#post({ kind: 'close' })
    await this.#closed
  }

  #settle(id: number) {
    const waiting = this.#requests.get(id)
    this.#requests.delete(id)
    return waiting
  }

  #post(message: ToThread): void {
    this.#thread.post(message)
  }
}
