import { assert } from '../../shared/core/errors.ts'
import {
  bytesPayload,
  type FrameHandler,
  type Transport,
  type TransportGroup,
} from '../../shared/transport/transport.ts'
import type { LinkModel } from './link-model.ts'
import { VirtualTime } from './virtual-time.ts'

/** Until when each direction is taken. */
interface Port {
  outUntil: number
  inUntil: number
}

const newPort = (): Port => ({ outUntil: 0, inUntil: 0 })

/** A network without faults whose messages take as long as a model of its links says, on virtual time. */
export class TimedNetwork {
  readonly time = new VirtualTime()
  readonly model: LinkModel
  /** Bytes that one byte of a payload stands for. */
  readonly scale: number
  messages = 0
  readonly #ranks: TimedTransport[] = []
  readonly #hosts: Port[] = []

  constructor(model: LinkModel, scale = 1) {
    this.model = model
    this.scale = scale
  }

  /** The transport of the next rank. */
  create(): TimedTransport {
    const rank = this.#ranks.length
    const host = Math.floor(rank / this.model.ranksPerHost)
    this.#hosts[host] ??= newPort()
    const transport = new TimedTransport(this, rank, host)
    this.#ranks.push(transport)
    return transport
  }

  /** Delivers everything that is on its way, and what follows from it. */
  run(): void {
    this.time.drain()
  }

  /** A message that its sender has ready at `at`, now or later. */
  carry(from: TimedTransport, to: number, at: number, header: Uint8Array, payload: Uint8Array): void {
    const receiver = this.#ranks[to]
    assert(receiver, `there is no rank ${to}`)
    this.messages++
    const within = from.host === receiver.host
    const { latencyMs, bytesPerMs } = within ? this.model.local : this.model
    const bytes = header.byteLength + payload.byteLength * this.scale
    const [out, into] = within ? [from.port, receiver.port] : [this.#hosts[from.host], this.#hosts[receiver.host]]
    assert(out && into, 'each host has a port')
    const depart = () => {
      const start = Math.max(at, out.outUntil)
      out.outUntil = start + bytes / bytesPerMs
      this.time.after(start + latencyMs - this.time.now, () => {
        into.inUntil = Math.max(this.time.now, into.inUntil) + bytes / bytesPerMs
        this.time.after(into.inUntil - this.time.now, () => receiver.take(header, payload))
      })
    }
    // Ranks that share a port take it in the order in which they are ready; one alone has it whenever it is.
    if (within || this.model.ranksPerHost === 1) depart()
    else this.time.after(at - this.time.now, depart)
  }
}

/** One rank: its processor and its memory. */
export class TimedTransport implements Transport {
  readonly endpoint: string
  readonly host: number
  readonly port = newPort()
  readonly sameHost: ReadonlySet<number> = new Set()
  /** When the processor has done all that it had to do. */
  busyUntil = 0
  readonly #network: TimedNetwork
  #endpoints = new Map<number, number>()
  #onFrame: FrameHandler = () => {}

  constructor(network: TimedNetwork, rank: number, host: number) {
    this.endpoint = `sim://${rank}`
    this.host = host
    this.#network = network
  }

  onFrame(handler: FrameHandler): void {
    this.#onFrame = handler
  }

  onLost(): void {}

  connect({ peers }: Pick<TransportGroup, 'peers'>): void {
    this.#endpoints = new Map(peers.map(({ rank, endpoint }) => [rank, Number(endpoint.slice('sim://'.length))]))
  }

  send(ranks: readonly number[], header: Uint8Array, payload: Uint8Array): void {
    const { model, time } = this.#network
    const copy = payload.slice()
    this.busyUntil = Math.max(this.busyUntil, time.now)
    for (const rank of ranks) {
      const to = this.#endpoints.get(rank)
      assert(to !== undefined, `no link to rank ${rank}`)
      this.busyUntil += model.messageMs
      this.#network.carry(this, to, this.busyUntil, header, copy)
    }
  }

  disconnect(): void {
    this.#endpoints = new Map()
  }

  close(): void {
    this.disconnect()
  }

  /** A message is there. What follows from it happens once the processor comes to it. */
  take(header: Uint8Array, payload: Uint8Array): void {
    const { model, time, scale } = this.#network
    const work = model.messageMs + (payload.byteLength * scale) / model.sumBytesPerMs
    this.busyUntil = Math.max(this.busyUntil, time.now) + work
    this.#onFrame(header, bytesPayload(payload))
  }
}
