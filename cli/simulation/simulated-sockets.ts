import { limits } from '../../shared/core/limits.ts'
import { decodeToCoordinator, decodeToWorker } from '../../shared/protocol/control.ts'
import type { ControlClient, ControlServer } from '../../shared/transport/control-socket.ts'
import {
  bytesPayload,
  type FrameHandler,
  type Transport,
  type TransportGroup,
} from '../../shared/transport/transport.ts'
import type { Connection, SimulatedNetwork } from './simulated-network.ts'
import type { SimulatedProcess } from './simulated-process.ts'

const empty = new Uint8Array(0)

/** A ROUTER: knows its peers by name, and finds out that one is gone when it sends to it. */
export function simulatedControlServer(
  network: SimulatedNetwork,
  process: SimulatedProcess,
  address: string,
): ControlServer {
  const peers = new Map<string, Connection>()
  let handler: (peer: string, frames: Uint8Array[]) => void = () => {}
  const close = network.listen(address, {
    process,
    accept(name, connection) {
      peers.set(name, connection)
      return {
        receive: (frames) => {
          network.trace?.(`coordinator ← ${name}: ${told(decodeToCoordinator(frames[0] ?? empty))}`)
          handler(name, frames)
        },
        broken: () => {
          if (peers.get(name) === connection) peers.delete(name)
        },
      }
    },
  })
  return {
    endpoint: address,
    onMessage: (next) => {
      handler = next
    },
    send(peer, frames) {
      const connection = peers.get(peer)
      network.trace?.(
        `coordinator → ${peer}: ${told(decodeToWorker(frames[0] ?? empty))}${connection?.open ? '' : ' (no connection)'}`,
      )
      connection?.sendToNear(frames)
      return Promise.resolve(connection?.open ?? false)
    },
    close() {
      close()
      return Promise.resolve()
    },
  }
}

/** A DEALER: connects again and again; what it is given meanwhile goes out once it is connected. */
export function simulatedControlClient(
  network: SimulatedNetwork,
  process: SimulatedProcess,
  address: string,
  name: string,
): ControlClient {
  let handler: (frames: Uint8Array[]) => void = () => {}
  let connection: (connected: boolean) => void = () => {}
  const line = new Line(network, process, address, name, {
    receive: (frames) => {
      network.trace?.(`${name} ← coordinator: ${told(decodeToWorker(frames[0] ?? empty))}`)
      handler(frames)
    },
    connected: (there) => {
      network.trace?.(`${name} is ${there ? 'connected' : 'disconnected'}`)
      connection(there)
    },
  })
  return {
    onMessage: (next) => {
      handler = next
    },
    onConnection: (next) => {
      connection = next
    },
    send: (frames) => line.send(frames),
    close() {
      line.close()
      return Promise.resolve()
    },
  }
}

/** The data plane of one worker: a socket that listens, and one for each peer. */
export class SimulatedDataTransport implements Transport {
  readonly endpoint: string
  readonly #network: SimulatedNetwork
  readonly #process: SimulatedProcess
  readonly #stopListening: () => void
  #lines = new Map<string, { line: Line; rank: number }>()
  #ranks = new Map<number, Line>()
  #onFrame: FrameHandler = () => {}
  #onLost: (rank: number) => void = () => {}
  readonly #sharesHost: (endpoint: string) => boolean
  sameHost: ReadonlySet<number> = new Set()

  constructor(
    network: SimulatedNetwork,
    process: SimulatedProcess,
    endpoint: string,
    sharesHost: (endpoint: string) => boolean,
  ) {
    this.endpoint = endpoint
    this.#sharesHost = sharesHost
    this.#network = network
    this.#process = process
    this.#stopListening = network.listen(endpoint, {
      process,
      accept: () => ({
        receive: ([header = empty, payload = empty]) => this.#onFrame(header, bytesPayload(payload)),
        broken: () => {},
      }),
    })
  }

  onFrame(handler: FrameHandler): void {
    this.#onFrame = handler
  }

  onLost(handler: (rank: number) => void): void {
    this.#onLost = handler
  }

  connect({ peers }: Pick<TransportGroup, 'peers'>): void {
    const kept = this.#lines
    this.#lines = new Map()
    this.#ranks = new Map()
    for (const { rank, endpoint } of peers) {
      const entry = kept.get(endpoint) ?? this.#open(endpoint)
      kept.delete(endpoint)
      entry.rank = rank
      this.#expectConnection(entry)
      this.#lines.set(endpoint, entry)
      this.#ranks.set(rank, entry.line)
    }
    for (const { line } of kept.values()) line.close()
    this.sameHost = new Set(peers.flatMap(({ rank, endpoint }) => (this.#sharesHost(endpoint) ? [rank] : [])))
  }

  send(ranks: readonly number[], header: Uint8Array, payload: Uint8Array): void {
    for (const rank of ranks) this.#ranks.get(rank)?.send([header, payload])
  }

  disconnect(): void {
    this.connect({ peers: [] })
  }

  close(): void {
    this.disconnect()
    this.#stopListening()
  }

  #expectConnection(entry: { line: Line; rank: number }): void {
    const ranks = this.#ranks
    const look = () => {
      if (!entry.line.connected && this.#ranks === ranks) this.#onLost(entry.rank)
    }
    this.#network.time.after(limits.connectMs, () => this.#process.enter(look))
  }

  #open(endpoint: string): { line: Line; rank: number } {
    const line = new Line(this.#network, this.#process, endpoint, this.endpoint, {
      receive: () => {},
      connected: (there) => {
        if (!there) this.#onLost(entry.rank)
      },
    })
    const entry = { line, rank: -1 }
    return entry
  }
}

/** A message in a line, without what is long. */
function told(message: { kind: string } | null): string {
  if (!message) return 'nothing that decodes'
  const { config: _, manifest: __, steps, ...rest } = message as Record<string, unknown> & { kind: string }
  const short = Array.isArray(steps) ? { ...rest, steps: steps.map((step: { step: number }) => step.step) } : rest
  return JSON.stringify(short).slice(0, 240)
}

/** A connection that is made again when it breaks. */
class Line {
  #connection: Connection | null = null
  #closed = false
  #waiting: Uint8Array[][] = []
  readonly #reconnect: () => void

  constructor(
    network: SimulatedNetwork,
    process: SimulatedProcess,
    address: string,
    name: string,
    to: { receive(frames: Uint8Array[]): void; connected(there: boolean): void },
  ) {
    this.#reconnect = () =>
      network.connect(
        address,
        name,
        {
          process,
          receive: (frames) => {
            if (!this.#closed) to.receive(frames)
          },
          broken: () => {
            if (this.#closed) return
            this.#connection = null
            to.connected(false)
            this.#reconnect()
          },
        },
        () => !this.#closed,
        (made) => {
          this.#connection = made
          for (const frames of this.#waiting.splice(0)) made.sendToFar(frames)
          to.connected(true)
        },
      )
    this.#reconnect()
  }

  get connected(): boolean {
    return this.#connection?.open ?? false
  }

  send(frames: readonly Uint8Array[]): void {
    if (this.#closed) return
    if (this.#connection?.open) return this.#connection.sendToFar(frames)
    if (this.#waiting.length < limits.maxUnnotedSteps) this.#waiting.push(frames.map((frame) => Uint8Array.from(frame)))
  }

  close(): void {
    this.#closed = true
    this.#connection?.break()
  }
}
