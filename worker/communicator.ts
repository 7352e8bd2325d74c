import type { Clock } from '../shared/core/clock.ts'
import { messageOf } from '../shared/core/errors.ts'
import { decodeToWorker, encodeControl, type Peer, type ToCoordinator } from '../shared/protocol/control.ts'
import { runTag } from '../shared/protocol/frame.ts'
import type { TraceName } from '../shared/protocol/trace-record.ts'
import type { ControlClient } from '../shared/transport/control-socket.ts'
import type { Transport } from '../shared/transport/transport.ts'
import { CoordinatorWatch, type WatchedCoordinator } from './coordinator-watch.ts'
import { DataPlane } from './data-plane.ts'
import { Flights } from './flights.ts'
import type { WorkerMetrics, WorkerView } from './metrics/worker-metrics.ts'
import type { ProcessLoad } from './process-load.ts'
import { counter, type FromThread, type GroupPlan, type ToThread } from './thread-messages.ts'
import type { About } from './trace/notes.ts'
import { TraceOutbox } from './trace/trace-outbox.ts'

type Hello = Extract<ToCoordinator, { kind: 'hello' }>
type Commits = Extract<ToCoordinator, { kind: 'committed' }>

export interface CommunicatorParts {
  readonly data: WatchedCoordinator
  readonly counters: Int32Array
  readonly control: ControlClient
  readonly transport: Transport
  /** A connection of its own to the coordinator, for data. */
  openHub(): ControlClient
  readonly clock: Clock
  /** What this worker measures of itself, and where that is served. */
  readonly metrics: { readonly metrics: WorkerMetrics; readonly address: string } | null
  post(message: FromThread): void
  /** Left out: nobody can tell. */
  readonly load?: Pick<ProcessLoad, 'since' | 'close'>
  /** A line for whoever started this worker. */
  warn(line: string): void
}

/** What the communication thread does, over whatever sockets, clock and main thread it is given. */
export class Communicator {
  readonly #parts: CommunicatorParts
  readonly #watch: CoordinatorWatch
  readonly #trace: TraceOutbox
  readonly #stopHeartbeat: (() => void)[] = []
  readonly #data: DataPlane
  readonly #flights = new Flights()
  #hello: Hello | null = null
  #welcomed = false
  /** Times that this process has said hello. */
  #attempt = 0
  #expelled = false
  #peers: readonly Peer[] = []
  #halted = true
  /** Generation in which this rank has told of a lost link. */
  #suspected = 0
  #malformed = 0
  /** Commits that the coordinator has not noted yet; told again when it comes back. */
  #unnoted: Commits[] = []
  /** Where this worker stands in its group; told again like the commits. */
  #lastWord: ToCoordinator | null = null
  #closing = false

  constructor(parts: CommunicatorParts) {
    this.#parts = parts
    const { control, transport } = parts
    this.#trace = new TraceOutbox(parts.clock)
    this.#watch = new CoordinatorWatch(parts.data, parts.clock, {
      post: parts.post,
      warn: parts.warn,
      reconnected: () => this.#sayHelloAgain(),
    })
    this.#data = new DataPlane({
      ...{ transport, clock: parts.clock, openHub: () => parts.openHub() },
      segments: () => this.#trace.notes.segments,
      joined: (generation, report) => {
        this.#lastWord = { kind: 'joined', generation, report }
        this.#send(this.#lastWord)
      },
      lost: (rank) => this.#linkLost(rank),
    })
    parts.metrics?.metrics.watch(() => this.#view())
    control.onMessage((frames) => this.#fromCoordinator(frames))
    control.onConnection((connected) => this.#watch.connection(connected))
    transport.onHost?.((files) => parts.post({ kind: 'host', files }))
    parts.post({ kind: 'open', endpoint: transport.endpoint })
  }

  handle(message: ToThread): void {
    switch (message.kind) {
      case 'memory':
        return this.#data.useMemory(message)
      case 'trace':
        return this.#trace.use(message.memory)
      case 'send':
        return this.#fromMain(message.message, message.bytes)
      case 'hello':
        this.#hello = {
          ...message.message,
          attempt: ++this.#attempt,
          absence: this.#expelled ? this.#watch.absence : null,
          metrics: this.#parts.metrics?.address ?? null,
        }
        return this.#send(this.#hello)
      case 'connected':
        this.#data.run = runTag(message.runId)
        this.#welcomed = true
        if (this.#hello) this.#hello = { ...this.#hello, runId: message.runId, absence: null }
        if (this.#stopHeartbeat.length === 0)
          this.#stopHeartbeat.push(this.#parts.clock.every(message.heartbeatMs, () => this.#heartbeat()))
        for (const commits of this.#unnoted) this.#send(commits) // of a group that went on without this worker
        return
      case 'form':
        return this.#form(message)
      case 'allReduce':
        return this.#answer(message, 'bucket', async () => {
          const { step, bucket, count, exact } = message
          const offsets = message.offsets.map((offset) => offset / 4)
          this.#data.delays.begin(step, bucket)
          this.#flights.begin(this.#parts.clock.now())
          try {
            return (await this.#data.groupOf(bucket).allReduce(step, bucket, offsets, count, exact)).bytes
          } finally {
            this.#flights.end(this.#parts.clock.now())
          }
        })
      case 'settle':
        return this.#data.settle(message.outcome)
      case 'fetchState':
        return this.#answer(message, 'fetch state', () =>
          this.#data.fetchState(message.source, message.identity, message.into),
        )
      case 'give':
        return this.#answer(message, 'send', async () => this.#data.handover.give(message.rank, message.parcel))
      case 'take':
        return this.#answer(message, 'receive', () => this.#data.handover.take(message.rank, message.parcel))
      case 'abort':
        return this.#abort(message.reason)
      case 'close':
        void this.#close()
        return
      default:
        message satisfies never
    }
  }

  #view(): WorkerView {
    const { counters } = this.#parts
    return {
      generation: this.#data.generation,
      rank: this.#data.rank,
      step: counters[counter.step] ?? 0,
      tensors: counters[counter.tensors] ?? 0,
      unnotedSteps: this.#unnotedSteps,
      earlyBytes: this.#data.earlyBytes,
      connected: !this.#watch.broken,
    }
  }

  get #unnotedSteps(): number {
    return this.#unnoted.reduce((sum, { steps }) => sum + steps.length, 0)
  }

  #fromMain(message: ToCoordinator, bytes?: Uint8Array): void {
    if (message.kind === 'halted') this.#halted = true
    if (message.kind === 'halted' || message.kind === 'finished') {
      this.#lastWord = message
      this.#tellTrace() // it may be the last one, for a worker that is told so too
    }
    if (message.kind !== 'committed') return this.#send(message, bytes)
    const commits = this.#withLoad(message)
    this.#unnoted.push(commits)
    this.#parts.metrics?.metrics.committed(message.steps, this.#flights.take())
    this.#watch.unnoted(this.#unnotedSteps)
    this.#send(commits)
  }

  #withLoad(commits: Commits): Commits {
    const { load } = this.#parts
    if (!load) return commits
    const late = this.#data.delays.since()
    return { ...commits, load: { ...load.since(), ...(late.length > 0 ? { late } : {}) } }
  }

  #fromCoordinator(frames: Uint8Array[]): void {
    const message = frames[0] ? decodeToWorker(frames[0]) : null
    if (!message) {
      this.#malformed++
      return
    }
    this.#watch.heard()
    if (message.kind === 'pulse') {
      this.#trace.pulse(message.time)
      this.#unnoted = this.#unnoted.filter((commits) => (commits.steps.at(-1)?.step ?? 0) > message.step)
      this.#watch.unnoted(this.#unnotedSteps)
      return
    }
    if (message.kind === 'start') this.#data.started(message.generation, message.topology)
    if (message.kind === 'abort' && message.generation === this.#data.generation) this.#abort(message.reason)
    if (message.kind === 'expelled') {
      if (!this.#welcomed || message.attempt !== this.#attempt) return // for what was sent before the last hello
      this.#abort(message.reason)
      this.#welcomed = false
      this.#expelled = true
      this.#hello = null // until the session has put things in order
      if (message.discard) this.#unnoted = []
      this.#lastWord = null
    }
    this.#parts.post({ kind: 'message', message, bytes: frames[1] ?? null })
  }

  /** The coordinator is back, or another one in its place: it may not know us, or not all that we told. */
  #sayHelloAgain(): void {
    this.#trace.reconnected()
    if (!this.#hello || this.#closing) return
    if (!this.#welcomed) return this.#send(this.#hello)
    this.#send({ ...this.#hello, member: { generation: this.#data.generation } })
    if (this.#lastWord) this.#send(this.#lastWord)
    for (const commits of this.#unnoted) this.#send(commits)
  }

  #form(plan: GroupPlan): void {
    this.#abort('a new generation')
    this.#peers = plan.peers
    this.#halted = false
    for (const place of [counter.entered, counter.reduced]) Atomics.store(this.#parts.counters, place, 0)
    this.#data.form(plan)
  }

  #linkLost(rank: number | null): void {
    const peer = this.#peers.find((candidate) => candidate.rank === rank)
    const { generation } = this.#data
    // One lost link ends the generation; the coordinator finds out about the others when it forms the next.
    if ((rank !== null && !peer) || this.#halted || this.#closing || this.#suspected === generation) return
    this.#suspected = generation
    const reason = peer ? `the link to ${peer.workerId} (rank ${rank}) is lost` : 'the link to the hub is lost'
    this.#abort(reason)
    if (peer) this.#send({ kind: 'suspect', generation, workerId: peer.workerId, reason })
  }

  #abort(reason: string): void {
    const { counters } = this.#parts
    Atomics.store(counters, counter.aborted, this.#data.generation)
    Atomics.notify(counters, counter.aborted)
    this.#data.abort(reason)
  }

  #answer({ id, ...about }: { id: number } & About, name: TraceName, work: () => Promise<number>): void {
    this.#trace.notes.around(name, about, work).then(
      (bytes) => this.#parts.post({ kind: 'done', id, bytes }),
      (error: unknown) => this.#parts.post({ kind: 'failed', id, reason: messageOf(error) }),
    )
  }

  #heartbeat(): void {
    if (!this.#welcomed) return
    const { counters } = this.#parts
    this.#send({
      kind: 'heartbeat',
      attempt: this.#attempt,
      generation: this.#data.generation,
      step: counters[counter.step] ?? 0,
      residentBytes: process.memoryUsage.rss(),
      tensors: counters[counter.tensors] ?? 0,
      staleFrames: this.#data.staleFrames,
      malformedFrames: this.#malformed + this.#data.malformedFrames,
      entered: this.#data.entered + Atomics.load(counters, counter.entered),
      reduced: this.#data.reduced + Atomics.load(counters, counter.reduced),
      fetched: this.#data.fetched,
      clock: this.#trace.clock,
    })
    this.#tellTrace()
  }

  #tellTrace(): void {
    if (!this.#watch.broken) this.#trace.flush((message, bytes) => this.#send(message, bytes))
  }

  /** What matters is told again once there is a connection. */
  #send(message: ToCoordinator, bytes?: Uint8Array): void {
    if (this.#watch.broken) return
    this.#parts.control.send(bytes ? [encodeControl(message), bytes] : [encodeControl(message)])
  }

  async #close(): Promise<void> {
    this.#closing = true
    this.#watch.stop()
    for (const stop of this.#stopHeartbeat) stop()
    this.#parts.load?.close()
    this.#abort('the worker leaves')
    this.#data.close()
    await this.#parts.control.close()
    this.#parts.post({ kind: 'closed' })
  }
}
