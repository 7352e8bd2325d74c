import type { SimulatedProcess } from './simulated-process.ts'
import type { VirtualTime } from './virtual-time.ts'

/** One end of a connection. */
export interface End {
  readonly process: SimulatedProcess
  /** In order, as they were sent, or not at all. */
  receive(frames: Uint8Array[]): void
  /** It broke: what was on its way is lost. */
  broken(): void
}

/** Who listens at an address. */
export interface Listener {
  readonly process: SimulatedProcess
  /** The far end of a new connection; `name` is what the near end calls itself. */
  accept(name: string, connection: Connection): Pick<End, 'receive' | 'broken'>
}

/** ZMTP heartbeats end a connection that has been silent for so long. */
const heartbeatTimeoutMs = 2500
const [fastestMs, slowestMs] = [0.1, 2]

/** Connections between processes on virtual time, as TCP and ZMTP make them: in order, until they break. */
export class SimulatedNetwork {
  readonly time: VirtualTime
  readonly #random: () => number
  readonly #listeners = new Map<string, Listener>()
  readonly #connections = new Set<Connection>()
  /** Names of processes that reach nobody, and pairs of names that do not reach each other; since when. */
  readonly #cut = new Map<string, number>()
  /** Extra milliseconds for what a process sends or gets. */
  readonly #delays = new Map<string, number>()

  /** Told of control messages and connections, for whoever replays a run. */
  readonly trace: ((line: string) => void) | null

  constructor(time: VirtualTime, random: () => number, trace: ((line: string) => void) | null = null) {
    this.time = time
    this.trace = trace
    this.#random = random
  }

  listen(address: string, listener: Listener): () => void {
    this.#listeners.set(address, listener)
    const close = () => {
      if (this.#listeners.get(address) === listener) this.#listeners.delete(address)
    }
    listener.process.onEnd(close)
    return close
  }

  /** Tries until there is a connection, or `wanted` says no more. */
  connect(
    address: string,
    name: string,
    near: End,
    wanted: () => boolean,
    connected: (made: Connection) => void,
  ): void {
    const attempt = () => {
      if (!wanted()) return
      const listener = this.#listeners.get(address)
      const reachable = listener?.process.stoppedSince === null && !this.isCut(near.process, listener.process)
      if (!listener || !reachable) return this.time.after(100 + 300 * this.#random(), () => near.process.enter(attempt))
      const connection = new Connection(this, near)
      this.#connections.add(connection)
      const far = listener.accept(name, connection)
      connection.far = {
        process: listener.process,
        receive: (frames) => far.receive(frames),
        broken: () => far.broken(),
      }
      connected(connection)
    }
    this.time.after(2 * this.latency(near.process), () => near.process.enter(attempt))
  }

  latency(...ends: readonly SimulatedProcess[]): number {
    const extra = ends.reduce((sum, end) => sum + (this.#delays.get(end.name) ?? 0), 0)
    return fastestMs + (slowestMs - fastestMs) * this.#random() ** 3 + extra
  }

  isCut(a: SimulatedProcess, b: SimulatedProcess): boolean {
    return this.#cut.has(a.name) !== this.#cut.has(b.name) || this.#cut.has(pairOf(a.name, b.name))
  }

  /** Cuts a process off from all others, or from one. */
  cut(process: SimulatedProcess, from?: string): void {
    this.#cut.set(from === undefined ? process.name : pairOf(process.name, from), this.time.now)
    this.time.after(heartbeatTimeoutMs, () => this.#timeOut())
  }

  heal(process: SimulatedProcess, from?: string): void {
    this.#cut.delete(from === undefined ? process.name : pairOf(process.name, from))
    for (const connection of this.#connections) connection.goOn()
  }

  delay(process: SimulatedProcess, ms: number): void {
    this.#delays.set(process.name, ms)
  }

  /** To be called when a process is stopped: its heartbeats stop too. */
  stopped(): void {
    this.time.after(heartbeatTimeoutMs, () => this.#timeOut())
  }

  /** Its connections are reset; others follow at once. */
  reset(process: SimulatedProcess): void {
    for (const connection of this.#connections) if (connection.has(process)) connection.break()
  }

  /** What its peers notice of a process that has ended. */
  ended(process: SimulatedProcess): void {
    this.time.after(this.latency(process), () => {
      if (!this.#cut.has(process.name)) this.reset(process)
      else this.time.after(heartbeatTimeoutMs, () => this.reset(process))
    })
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection)
  }

  #timeOut(): void {
    const old = (since: number | null | undefined) => since != null && this.time.now - since >= heartbeatTimeoutMs
    for (const connection of this.#connections) {
      const [a, b] = connection.processes()
      const since = [a.name, b.name, pairOf(a.name, b.name)].map((name) => this.#cut.get(name))
      const cut = this.isCut(a, b) && since.some(old)
      if (cut || old(a.stoppedSince) || old(b.stoppedSince)) connection.break()
    }
  }
}

const pairOf = (a: string, b: string): string => [a, b].sort().join(' ')

export class Connection {
  far!: End
  readonly #near: End
  readonly #network: SimulatedNetwork
  #broken = false
  readonly #lanes = {
    toFar: { frames: [] as Uint8Array[][], last: 0 },
    toNear: { frames: [] as Uint8Array[][], last: 0 },
  }

  constructor(network: SimulatedNetwork, near: End) {
    this.#network = network
    this.#near = near
  }

  sendToFar(frames: readonly Uint8Array[]): void {
    this.#send('toFar', frames)
  }

  sendToNear(frames: readonly Uint8Array[]): void {
    this.#send('toNear', frames)
  }

  get open(): boolean {
    return !this.#broken
  }

  processes(): [SimulatedProcess, SimulatedProcess] {
    return [this.#near.process, this.far.process]
  }

  has(process: SimulatedProcess): boolean {
    return this.processes().includes(process)
  }

  break(): void {
    if (this.#broken) return
    this.#broken = true
    this.#network.forget(this)
    for (const end of [this.#near, this.far])
      this.#network.time.after(this.#network.latency(end.process), () => end.process.enter(() => end.broken()))
  }

  /** What waited for the cut to heal. */
  goOn(): void {
    for (const lane of ['toFar', 'toNear'] as const)
      if (this.#lanes[lane].frames.length > 0) this.#network.time.after(0, () => this.#deliver(lane))
  }

  #send(lane: 'toFar' | 'toNear', frames: readonly Uint8Array[]): void {
    if (this.#broken) return
    const queue = this.#lanes[lane]
    queue.frames.push(frames.map((frame) => Uint8Array.from(frame)))
    const { time } = this.#network
    queue.last = Math.max(queue.last, time.now + this.#network.latency(...this.processes()))
    time.after(queue.last - time.now, () => this.#deliver(lane, true))
  }

  /** `one`: the turn of one message; else all that waits. */
  #deliver(lane: 'toFar' | 'toNear', one = false): void {
    const { frames } = this.#lanes[lane]
    const end = lane === 'toFar' ? this.far : this.#near
    if (this.#broken || this.#network.isCut(...this.processes())) return
    for (const next of frames.splice(0, one ? 1 : frames.length)) end.process.enter(() => end.receive(next))
  }
}
