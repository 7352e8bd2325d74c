import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { RunConfig } from '../../shared/core/config.ts'
import { assert } from '../../shared/core/errors.ts'
import type { ImageShape } from '../../shared/core/image-grid.ts'
import type { BackendName } from '../backend/open-backend.ts'
import type { Update } from '../optimizer/optimizer.ts'
import { rest } from '../patience.ts'
import type { WideGradient } from './factors.ts'
import type { Share } from './lane-gradients.ts'
import type { FactorRoom } from './model-state.ts'

/** Threads that compute beside each other; further threads of a worker go to the operations of each. */
const mostThreads = 4

/** How a worker's threads are used: so many compute parts of the batch, with so many for the operations of each. */
export function sharedThreads(threads: number): { readonly compute: number; readonly operations: number } {
  const compute = Math.min(threads, mostThreads)
  return { compute, operations: Math.floor(threads / compute) }
}

/** What all threads of a worker do at once, each its part; thread 0 is the main thread. */
export type Command =
  | ({ readonly kind: 'begin'; readonly step: number } & Share)
  | ({ readonly kind: 'compute'; readonly step: number; readonly phase: number; readonly factors: boolean } & Share)
  /** Adds up what the threads have computed. */
  | { readonly kind: 'merge'; readonly network: string; readonly pieces: number; readonly squares: boolean }
  /** Squares of the gradient, block by block, but where they are known. */
  | ({ readonly kind: 'squares'; readonly network: string; readonly known: boolean } & Wide)
  | ({ readonly kind: 'update'; readonly update: Update } & Wide)

interface Wide {
  /** Gradients that are not written, in the order of the weights. */
  readonly wide: readonly WideGradient[]
}

/** What a thread starts with. */
export interface MateData {
  readonly number: number
  readonly threads: number
  readonly backend: BackendName
  readonly operations: number
  readonly config: RunConfig
  readonly image: ImageShape
  readonly sampleBytes: number
  readonly sampleCount: number
  readonly hasLabels: boolean
  readonly memory: WebAssembly.Memory
  readonly parts: number
  /** Byte offsets: of its own region, and of the rows and labels of the rank's batch. */
  readonly own: number
  readonly rows: number
  readonly labels: number
  readonly factors: ReadonlyMap<string, FactorRoom>
  readonly signals: SharedArrayBuffer
  readonly text: SharedArrayBuffer
}

/** Places in the signals: number of the command, its length, whether one has failed, and the last one that thread n has done. */
export const signal = { command: 0, length: 1, failed: 2, done: 3 } as const
export const commandBytes = 16_384

/**
 * Threads of a worker with a backend each, over the same weights. For small products that is faster than threads within an
 * operation: nothing is split, and nobody is waked, hundreds of times a step.
 */
export class Crew {
  /** The main thread included. */
  readonly size: number
  readonly #threads: readonly Worker[]
  readonly #signals: Int32Array
  readonly #text: Buffer
  #error: Error | null = null
  #closing = false

  /** Settles once all threads are ready. */
  static async start(common: Omit<MateData, 'number' | 'own' | 'signals' | 'text'>, own: readonly number[]) {
    const signals = new SharedArrayBuffer(4 * (signal.done + common.threads))
    const text = new SharedArrayBuffer(commandBytes)
    const crew = new Crew(
      own.map((place, index) => {
        const workerData: MateData = { ...common, number: index + 1, own: place, signals, text }
        return new Worker(threadFile(), { workerData })
      }),
      new Int32Array(signals),
      Buffer.from(text),
    )
    await crew.#idle(1)
    return crew
  }

  private constructor(threads: readonly Worker[], signals: Int32Array, text: Buffer) {
    this.size = threads.length + 1
    this.#threads = threads
    this.#signals = signals
    this.#text = text
    Atomics.store(signals, signal.command, 1)
    for (const thread of threads) {
      thread.on('error', (error) => {
        this.#error ??= error
      })
      thread.on('exit', () => {
        this.#error ??= new Error('a thread of this worker has ended')
      })
    }
  }

  /** Has the other threads do their parts. Settles once they are through; `own` is what this thread does meanwhile. */
  async run(command: Command, own: () => Promise<void> | void): Promise<void> {
    const length = this.#text.write(JSON.stringify(command), 'latin1')
    assert(length < commandBytes, 'a command fits its place')
    this.#signals[signal.length] = length
    const number = Atomics.add(this.#signals, signal.command, 1) + 1
    Atomics.notify(this.#signals, signal.command)
    try {
      await own()
    } finally {
      await this.#idle(number)
    }
  }

  async close(): Promise<void> {
    this.#closing = true
    await Promise.all(this.#threads.map((thread) => thread.terminate()))
  }

  async #idle(number: number): Promise<void> {
    const signals = this.#signals
    const since = performance.now()
    for (let mate = 1; mate < this.size; mate++)
      for (let done = 0; ; ) {
        done = Atomics.load(signals, signal.done + mate)
        if (done === number) break
        if (this.#error && !this.#closing) throw this.#error
        await rest(performance.now() - since, signals, signal.done + mate, done)
      }
    if (Atomics.load(signals, signal.failed) === 1)
      throw new Error(this.#text.toString('utf8', 0, signals[signal.length] ?? 0))
  }
}

/** Beside this file once compiled; in dist when the sources run as they are (tests). */
function threadFile(): URL {
  const beside = new URL('./compute-thread.js', import.meta.url)
  return existsSync(beside) ? beside : new URL('../../dist/worker/step/compute-thread.js', import.meta.url)
}
