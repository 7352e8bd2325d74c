import { exitCode, RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { Arena, createSharedMemory } from '../../shared/kernel/kernel.ts'
import type { Peer } from '../../shared/protocol/control.ts'
import { Link } from '../../worker/link.ts'
import { openThread } from '../../worker/open-thread.ts'
import { counter } from '../../worker/thread-messages.ts'
import type { AllReduceWorkerOptions, FromAllReduceProcess } from './all-reduce-messages.ts'
import type { CollectiveOptions } from './collective-options.ts'
import { fillPattern, firstWrong } from './test-pattern.ts'

const warmUps = 3
/** As in a training (coordinator/shell.ts). */
const heartbeatMs = 250
const marginBytes = (1 << 17) + limits.sumScratchBytes

/** A worker of a training without the training: main thread, link, communication thread, sockets, shared memory. */
export class AllReduceWorker {
  readonly opened: Promise<string>
  /** Exit code, once it was told to end. */
  readonly done: Promise<number>
  readonly #link: Link
  readonly #arena: Arena
  readonly #bucket: number
  readonly #collective: CollectiveOptions
  readonly #barrier: number
  #group = { rank: 0, worldSize: 1 }
  /** Number of the next reduction. */
  #step = 0
  #over: (error: Error | null) => void = () => {}

  constructor({ coordinator, workerId, largestBytes, collective }: AllReduceWorkerOptions) {
    this.#collective = collective
    const counters = new SharedArrayBuffer(4 * counter.count)
    const sockets = { coordinator, workerId, dataBind: 'tcp://127.0.0.1:0' }
    const thread = openThread({ ...sockets, connectTimeoutMs: 30_000, reconnectTimeoutMs: 30_000, counters })
    this.#link = new Link(thread, new Int32Array(counters))
    const memory = createSharedMemory(largestBytes + marginBytes)
    this.#arena = new Arena(memory)
    this.#barrier = this.#arena.allocate(64)
    this.#bucket = this.#arena.allocate(largestBytes)
    const sumScratch = { offset: this.#arena.allocate(limits.sumScratchBytes), bytes: limits.sumScratchBytes }
    this.#link.useMemory({ memory, regions: [], sumScratch })
    this.opened = this.#link.opened
    const end = new Promise<Error | null>((resolve) => {
      this.#over = resolve
    })
    this.#link.onLost((reason) => this.#over(new RingleaderError('bench', reason)))
    this.done = this.#close(end)
  }

  form(rank: number, peers: readonly Peer[]): void {
    this.#group = { rank, worldSize: peers.length }
    this.#link.welcomed('bench', heartbeatMs)
    this.#link.form({ generation: 1, rank, peers, lanes: null, ...this.#collective })
  }

  /** All ranks set out together, every time; filling and checking is not in the time. */
  async measure(bytes: number, iterations: number): Promise<FromAllReduceProcess> {
    const { rank, worldSize } = this.#group
    const values = this.#arena.floats(this.#bucket, bytes / 4)
    const seconds: number[] = []
    let wrong: string | null = null
    try {
      for (let round = 0; round < warmUps + iterations; round++) {
        fillPattern(values, rank, round)
        const second = await this.#timed(values.length)
        if (round >= warmUps) seconds.push(second)
        wrong ??= firstWrong(values, worldSize, round)
      }
    } catch (error) {
      this.#over(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
    return { kind: 'measured', seconds, wrong }
  }

  async #timed(count: number): Promise<number> {
    const step = this.#step++
    this.#arena.floats(this.#barrier, 1).fill(1)
    await this.#link.allReduce(step, 1, [this.#barrier], 1) // nobody has its result before all are there
    const started = performance.now()
    await this.#link.allReduce(step, 0, [this.#bucket], count)
    return (performance.now() - started) / 1000
  }

  end(): void {
    this.#over(null)
  }

  async #close(end: Promise<Error | null>): Promise<number> {
    const error = await end
    await this.#link.close()
    if (error) throw error
    return exitCode.ok
  }
}
