import { Pull, Push } from 'zeromq'
import { limits } from '../core/limits.ts'
import { frameHeaderBytes } from '../protocol/frame.ts'
import type { FrameHandler, PeerAddress, Transport, TransportSecurity } from './transport.ts'

/** An attempt that began before a cut healed would wait for TCP's next retransmission, which may be seconds away. */
const reconnection = { connectTimeout: 1000, reconnectInterval: 100, reconnectMaxInterval: 400 }

interface Link {
  readonly socket: Push
  readonly queue: Uint8Array[][]
  rank: number
  sending: boolean
  connected: boolean
  closed: boolean
}

/** The wire between hosts: one bound PULL socket for what comes in, one PUSH socket for each peer. */
export async function openZeromqTransport(bind: string, security: TransportSecurity | null = null): Promise<Transport> {
  const inbound = new Pull({
    ...{ linger: 0, receiveHighWaterMark: 64, maxMessageSize: limits.segmentBytes + frameHeaderBytes },
    ...(security ? { curveServer: true, curvePublicKey: security.publicKey, curveSecretKey: security.secretKey } : {}),
  })
  await inbound.bind(bind)
  return new ZeromqTransport(inbound, security, sourceOf(bind))
}

class ZeromqTransport implements Transport {
  readonly endpoint: string
  readonly #inbound: Pull
  readonly #security: TransportSecurity | null
  /** Prefix of addresses to connect to: frames leave by the interface that they come in by. */
  readonly #source: string
  /** By endpoint. */
  #links = new Map<string, Link>()
  #ranks = new Map<number, Link>()
  #onFrame: FrameHandler = () => {}
  #onLost: (rank: number) => void = () => {}
  #closed = false

  constructor(inbound: Pull, security: TransportSecurity | null, source: string) {
    this.#inbound = inbound
    this.#security = security
    this.#source = source
    this.endpoint = inbound.lastEndpoint ?? ''
    void this.#receive()
  }

  onFrame(handler: FrameHandler): void {
    this.#onFrame = handler
  }

  onLost(handler: (rank: number) => void): void {
    this.#onLost = handler
  }

  /** A link to an endpoint outlives the generation, so that a survivor of a change of membership is reached at once. */
  connect(peers: readonly PeerAddress[]): void {
    const kept = new Map(this.#links)
    this.#links = new Map()
    this.#ranks = new Map()
    for (const { rank, endpoint, publicKey } of peers) {
      const link = kept.get(endpoint) ?? this.#open(endpoint, publicKey)
      kept.delete(endpoint)
      link.queue.length = 0
      link.rank = rank
      this.#expectConnection(link)
      this.#links.set(endpoint, link)
      this.#ranks.set(rank, link)
    }
    for (const link of kept.values()) close(link)
  }

  send(rank: number, header: Uint8Array, payload: Uint8Array): void {
    const link = this.#ranks.get(rank)
    if (!link) return // the link went down with its generation; the collective is aborted elsewhere
    // ZeroMQ reads the memory after `send` has resolved, so each message gets memory of its own.
    link.queue.push([Uint8Array.from(header), Uint8Array.from(payload)])
    if (!link.sending) void this.#drain(link)
  }

  disconnect(): void {
    this.connect([])
  }

  close(): void {
    this.#closed = true
    this.disconnect()
    this.#inbound.close()
  }

  #open(endpoint: string, publicKey: string | undefined): Link {
    const keys = this.#security
    const socket = new Push({
      ...{ linger: 0, sendHighWaterMark: 64, heartbeatInterval: 500, heartbeatTimeout: 2000, ...reconnection },
      ...(keys && publicKey
        ? { curveServerKey: publicKey, curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey }
        : {}),
    })
    const link: Link = { socket, queue: [], rank: -1, sending: false, connected: false, closed: false }
    socket.events.on('handshake', () => {
      link.connected = true
    })
    socket.events.on('disconnect', () => {
      link.connected = false
      if (!link.closed) this.#onLost(link.rank)
    })
    socket.connect(endpoint.replace('tcp://', `tcp://${this.#source}`))
    return link
  }

  #expectConnection(link: Link): void {
    if (link.connected) return
    const ranks = this.#ranks
    const look = () => {
      if (!link.connected && !link.closed && this.#ranks === ranks) this.#onLost(link.rank)
    }
    setTimeout(look, limits.connectMs).unref()
  }

  async #drain(link: Link): Promise<void> {
    link.sending = true
    try {
      for (let frames = link.queue.shift(); frames; frames = link.queue.shift()) await link.socket.send(frames)
    } catch {
      if (!link.closed) this.#onLost(link.rank)
    } finally {
      link.sending = false
    }
  }

  async #receive(): Promise<void> {
    const empty = new Uint8Array(0)
    try {
      for await (const frames of this.#inbound) this.#onFrame(frames[0] ?? empty, frames[1] ?? empty)
    } catch (error) {
      if (!this.#closed) throw error
    }
  }
}

/** Of an address that names one interface; a host name, or all of them, leave the choice to the system. */
function sourceOf(bind: string): string {
  const host = /^tcp:\/\/(\d+\.\d+\.\d+\.\d+):/.exec(bind)?.[1]
  return host === undefined || host === '0.0.0.0' ? '' : `${host}:0;`
}

function close(link: Link): void {
  link.closed = true
  link.queue.length = 0
  link.socket.close()
}
