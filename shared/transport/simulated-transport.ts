import { assert } from '../core/errors.ts'
import { bytesPayload, type FrameHandler, type Transport, type TransportGroup } from './transport.ts'

/** An in-memory network. `pick` chooses which link delivers next, so that a seed replays any order. */
export class SimulatedNetwork {
  readonly #transports = new Map<string, SimulatedTransport>()
  readonly #links = new Map<string, { to: string; frames: [Uint8Array, Uint8Array][] }>()
  readonly #pick: (count: number) => number
  #scheduled = false
  #names = 0

  constructor(pick: (count: number) => number = () => 0) {
    this.#pick = pick
  }

  create(): Transport {
    const endpoint = `sim://${this.#names++}`
    const transport = new SimulatedTransport(endpoint, this)
    this.#transports.set(endpoint, transport)
    return transport
  }

  enqueue(from: string, to: string, header: Uint8Array, payload: Uint8Array): void {
    const key = `${from}>${to}`
    const link = this.#links.get(key) ?? { to, frames: [] }
    link.frames.push([Uint8Array.from(header), Uint8Array.from(payload)])
    this.#links.set(key, link)
    this.#schedule()
  }

  remove(endpoint: string): void {
    this.#transports.delete(endpoint)
    for (const transport of this.#transports.values()) transport.lost(endpoint)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#deliverOne()
    })
  }

  #deliverOne(): void {
    const busy = [...this.#links.entries()].filter(([, link]) => link.frames.length > 0)
    const chosen = busy[this.#pick(busy.length)]
    if (!chosen) return
    const frame = chosen[1].frames.shift()
    if (frame) this.#transports.get(chosen[1].to)?.deliver(...frame)
    if (busy.length > 0) this.#schedule()
  }
}

class SimulatedTransport implements Transport {
  readonly endpoint: string
  readonly sameHost: ReadonlySet<number> = new Set()
  readonly #network: SimulatedNetwork
  #peers = new Map<number, string>()
  #onFrame: FrameHandler = () => {}
  #onLost: (rank: number) => void = () => {}

  constructor(endpoint: string, network: SimulatedNetwork) {
    this.endpoint = endpoint
    this.#network = network
  }

  onFrame(handler: FrameHandler): void {
    this.#onFrame = handler
  }

  onLost(handler: (rank: number) => void): void {
    this.#onLost = handler
  }

  connect({ peers }: TransportGroup): void {
    this.#peers = new Map(peers.map((peer) => [peer.rank, peer.endpoint]))
  }

  send(ranks: readonly number[], header: Uint8Array, payload: Uint8Array): void {
    for (const rank of ranks) {
      const to = this.#peers.get(rank)
      assert(to !== undefined, `no link to rank ${rank}`)
      this.#network.enqueue(this.endpoint, to, header, payload)
    }
  }

  disconnect(): void {
    this.#peers = new Map()
  }

  close(): void {
    this.#network.remove(this.endpoint)
  }

  deliver(header: Uint8Array, payload: Uint8Array): void {
    this.#onFrame(header, bytesPayload(payload))
  }

  lost(endpoint: string): void {
    for (const [rank, peer] of this.#peers) if (peer === endpoint) this.#onLost(rank)
  }
}
