import { Worker } from 'node:worker_threads'
import { RingleaderError } from '../shared/core/errors.ts'
import type { Peer, ToCoordinator, ToWorker } from '../shared/protocol/control.ts'
import type { FromThread, ThreadData, ToThread } from './thread-messages.ts'

export type Incoming = { message: ToWorker; bytes: Uint8Array | null }

/** The main thread's view of the communication thread. */
export class Link {
  readonly #thread: Worker
  readonly #reductions = new Map<number, { resolve(report: { bytes: number }): void; reject(error: Error): void }>()
  readonly #counters: Int32Array
  readonly #closed: Promise<void>
  #nextId = 0
  #onMessage: (incoming: Incoming) => void = () => {}
  #onLost: (reason: string) => void = () => {}
  readonly opened: Promise<string>

  constructor(data: Omit<ThreadData, 'counters'>) {
    const counters = new SharedArrayBuffer(16)
    this.#counters = new Int32Array(counters)
    this.#thread = new Worker(new URL('./communication-thread.js', import.meta.url), {
      workerData: { ...data, counters } satisfies ThreadData,
    })
    let open: (endpoint: string) => void = () => {}
    let closed: () => void = () => {}
    this.opened = new Promise((resolve, reject) => {
      open = resolve
      this.#thread.once('error', reject)
    })
    this.#closed = new Promise((resolve) => {
      closed = resolve
    })
    this.#thread.on('exit', () => closed())
    this.#thread.on('error', (error) => this.#onLost(`the communication thread failed: ${error.message}`))
    this.#thread.on('message', (message: FromThread) => {
      switch (message.kind) {
        case 'open':
          return open(message.endpoint)
        case 'message':
          return this.#onMessage({ message: message.message, bytes: message.bytes })
        case 'reduced':
          return this.#settle(message.id)?.resolve({ bytes: message.bytes })
        case 'reduceFailed':
          return this.#settle(message.id)?.reject(
            new RingleaderError('collective', message.reason, { recoverable: true }),
          )
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

  send(message: ToCoordinator, bytes?: Uint8Array): void {
    this.#post(bytes ? { kind: 'send', message, bytes } : { kind: 'send', message })
  }

  useMemory(memory: WebAssembly.Memory): void {
    this.#post({ kind: 'memory', memory })
  }

  connected(runId: string, heartbeatMs: number): void {
    this.#post({ kind: 'connected', runId, heartbeatMs })
  }

  form(generation: number, rank: number, peers: readonly Peer[]): void {
    this.#post({ kind: 'form', generation, rank, peers })
  }

  abort(reason: string): void {
    this.#post({ kind: 'abort', reason })
  }

  allReduce(step: number, bucket: number, offset: number, count: number): Promise<{ bytes: number }> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#reductions.set(id, { resolve, reject })
      this.#post({ kind: 'allReduce', id, step, bucket, offset, count })
    })
  }

  report(step: number, tensors: number): void {
    this.#counters[0] = step
    this.#counters[1] = tensors
  }

  async close(): Promise<void> {
    this.#post({ kind: 'close' })
    await this.#closed
  }

  #settle(id: number) {
    const waiting = this.#reductions.get(id)
    this.#reductions.delete(id)
    return waiting
  }

  #post(message: ToThread): void {
    this.#thread.postMessage(message)
  }
}
