import { planCompression } from '../../shared/compression/compression-plan.ts'
import { exitCode, RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { Arena, createSharedMemory, loadKernel } from '../../shared/kernel/kernel.ts'
import type { Peer } from '../../shared/protocol/control.ts'
import { runTag } from '../../shared/protocol/frame.ts'
import { nativeMapping } from '../../worker/backend/native/load-native-binding.ts'
import { HostReduction, type HostWindows, hostWindows } from '../../worker/host-reduction.ts'
import { Link } from '../../worker/link.ts'
import { openThread } from '../../worker/open-thread.ts'
import type { MemoryRegion } from '../../worker/step/model-state.ts'
import { counter, type GroupPlan } from '../../worker/thread-messages.ts'
import { type AllReduceWorkerOptions, type FromAllReduceProcess, generation, runId } from './all-reduce-messages.ts'
import type { CollectiveOptions } from './collective-options.ts'
import { fillPattern, firstWrong } from './test-pattern.ts'

const warmUps = 3
/** Before the first size, if it is so small: V8 compiles the way of a bucket once it has been gone some hundred times. */
const coldRounds = { rounds: 500, mostBytes: 1 << 20 } as const
/** As in a training (coordinator/shell.ts). */
const heartbeatMs = 250
const marginBytes = (1 << 17) + 2 * limits.sumScratchBytes

/** A worker of a training without the training: main thread, link, communication thread, sockets, shared memory. */
export class AllReduceWorker {
  readonly opened: Promise<string>
  /** Exit code, once it was told to end. */
  readonly done: Promise<number>
  readonly #link: Link
  /** Settles once the group is told to step. */
  readonly #started: Promise<void>
  readonly #arena: Arena
  readonly #bucket: number
  readonly #ownScratch: MemoryRegion
  readonly #collective: CollectiveOptions
  readonly #barrier: number
  #plan: GroupPlan | null = null
  #host: HostReduction | null = null
  /** All ranks have said that they can reduce in their main threads. */
  #here = false
  /** Nothing was measured yet. */
  #cold = true
  readonly #memory: WebAssembly.Memory
  readonly #windows: HostWindows | null
  /** Number of the next reduction. */
  #step = 0
  #over: (error: Error | null) => void = () => {}

  constructor({ coordinator, workerId, dataBind, largestBytes, collective }: AllReduceWorkerOptions) {
    this.#collective = collective
    const counters = new SharedArrayBuffer(4 * counter.count)
    const sockets = { coordinator, workerId, dataBind, advertise: null, metrics: null }
    const log = { level: 'warn', format: 'text' } as const
    const thread = openThread({ ...sockets, log, connectTimeoutMs: 30_000, reconnectTimeoutMs: 30_000, counters })
    this.#link = new Link(thread, new Int32Array(counters))
    const memory = createSharedMemory(largestBytes + marginBytes)
    this.#memory = memory
    this.#arena = new Arena(memory)
    this.#barrier = this.#arena.allocate(64)
    this.#bucket = this.#arena.allocate(largestBytes)
    const [sumScratch, ownScratch] = [0, 1].map(() => ({
      offset: this.#arena.allocate(limits.sumScratchBytes),
      bytes: limits.sumScratchBytes,
    })) as [MemoryRegion, MemoryRegion]
    this.#ownScratch = ownScratch
    this.#windows = hostWindows(nativeMapping(), this.#arena) // a training has that by its backend
    const compression = planCompression(collective, this.#arena, [{ offset: this.#bucket, bytes: largestBytes }])
    this.#link.useMemory({ memory, regions: [], sumScratch, compression })
    this.opened = this.#link.opened
    const end = new Promise<Error | null>((resolve) => {
      this.#over = resolve
    })
    this.#started = new Promise((resolve) => {
      this.#link.onMessage(({ message }) => {
        if (message.kind === 'start') resolve()
      })
    })
    this.#link.onLost((reason) => this.#over(new RingleaderError('bench', reason)))
    this.done = this.#close(end)
  }

  form(rank: number, peers: readonly Peer[]): void {
    const { algorithm, wire } = this.#collective
    const hub = algorithm === 'star'
    this.#plan = { generation, rank, peers, lanes: null, hub, algorithm, wire, stages: 1 }
    this.#link.welcomed(runId, heartbeatMs)
    this.#link.form(this.#plan)
  }

  /** All ranks set out together, every time; filling and checking is not in the time. */
  async measure(bytes: number, iterations: number): Promise<FromAllReduceProcess> {
    await this.#started
    const { rank = 0, peers = [] } = this.#plan ?? {}
    const values = this.#arena.floats(this.#bucket, bytes / 4)
    const seconds: number[] = []
    let wrong: string | null = null
    let sentBytes = 0
    this.#link.settle('clear') // buckets of another size lie in the same place
    try {
      const first = this.#cold && bytes <= coldRounds.mostBytes ? coldRounds.rounds : warmUps
      this.#cold = false
      for (let round = 0; round < first + iterations; round++) {
        fillPattern(values, rank, round)
        const [second, sent] = await this.#timed(values.length)
        sentBytes = sent
        if (round >= first) seconds.push(second)
        wrong ??= firstWrong(values, peers.length, round, this.#collective.compression)
      }
    } catch (error) {
      this.#over(error instanceof Error ? error : new Error(String(error)))
      throw error
    }
    return { kind: 'measured', seconds, sentBytes, wrong, by: this.#here ? 'main' : 'communication' }
  }

  async #timed(count: number): Promise<readonly [number, number]> {
    const step = this.#step++
    const ready = this.#arena.floats(this.#barrier, 1).fill(this.#openHost() ? 1 : 0)
    await this.#reduce(step, 1, this.#barrier, 1, 1) // nobody has its result before all are there
    this.#here ||= ready[0] === this.#plan?.peers.length
    const started = performance.now()
    const sent = await this.#reduce(step, 0, this.#bucket, count, 0)
    const second = (performance.now() - started) / 1000
    await this.#reduce(step, 2, this.#barrier, 1, 1) // nor does anybody check his while another one waits for its own
    this.#link.settle('keep')
    return [second, sent]
  }

  #reduce(step: number, bucket: number, offset: number, count: number, exact: number): Promise<number> {
    const by = this.#here && this.#host ? this.#host : this.#link
    return by.allReduce(step, bucket, [offset], count, exact)
  }

  #openHost(): HostReduction | null {
    const files = this.#link.host(generation)
    if (files && this.#plan)
      this.#host ??= HostReduction.open({
        ...{ run: runTag(runId), plan: this.#plan, files, kernel: loadKernel(this.#memory), memory: this.#memory },
        ...{ scratch: this.#ownScratch, counters: this.#link.counters, windows: this.#windows },
      })
    return this.#host
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
