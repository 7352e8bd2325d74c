import { Pull, Push } from 'zeromq'
import { limits } from '../core/limits.ts'
import type { HostFiles, Place } from '../protocol/file-lane.ts'
import { decodeFrameHeader, frameHeaderBytes, frameKind } from '../protocol/frame.ts'
import { PiecePool } from './piece-pool.ts'
import { SameHostLane } from './same-host-lane.ts'
import { StreamLane } from './stream-lane.ts'
import { openStreams, type StreamServer } from './stream-server.ts'
import {
  bytesPayload,
  type FrameHandler,
  type PlaceHandler,
  type Transport,
  type TransportGroup,
  type TransportSecurity,
} from './transport.ts'
import './zeromq-context.ts'

/** An attempt that began before a cut healed would wait for TCP's next retransmission, which may be seconds away. */
const reconnection = { connectTimeout: 1000, reconnectInterval: 100, reconnectMaxInterval: 400 }

interface Link {
  readonly socket: Push
  /** Messages: header and payload in one part, or header and place in a file in two. */
  readonly queue: (Uint8Array | Uint8Array[])[]
  rank: number
  sending: boolean
  connected: boolean
  closed: boolean
}

const empty = new Uint8Array(0)
const nobody: ReadonlySet<number> = new Set()

export interface ZeromqOptions {
  readonly security?: TransportSecurity
  /** Hears of a link that was to go through shared memory and does not. */
  warn?(line: string): void
  /** Payloads up to this travel in their message where others go through a file. */
  readonly inlineBytes?: number
  /** False: whatever goes by TCP goes by ZeroMQ, as it does where links are secured. */
  readonly streams?: boolean
}

/**
 * One bound PULL socket for what comes in, one PUSH socket for each peer. Between workers of one host large payloads go
 * through files, and only their headers this way. Between hosts what has a place goes by streams, where they are.
 */
export async function openZeromqTransport(bind: string, options: ZeromqOptions = {}): Promise<Transport> {
  const { security } = options
  const inbound = new Pull({
    ...{ linger: 0, receiveHighWaterMark: 64, maxMessageSize: limits.segmentBytes + frameHeaderBytes },
    ...(security ? { curveServer: true, curvePublicKey: security.publicKey, curveSecretKey: security.secretKey } : {}),
  })
  await inbound.bind(bind)
  const streams = security || options.streams === false ? null : await openStreams(inbound.lastEndpoint ?? '', bind)
  return new ZeromqTransport(inbound, streams, options, sourceOf(bind))
}

class ZeromqTransport implements Transport {
  readonly endpoint: string
  readonly #inbound: Pull
  readonly #options: ZeromqOptions
  /** Address to connect from, empty where it is open: frames leave by the interface that they come in by. */
  readonly #source: string
  /** By endpoint. */
  #links = new Map<string, Link>()
  #ranks = new Map<number, Link>()
  #onFrame: FrameHandler = () => {}
  #placeOf: PlaceHandler = () => null
  #onLost: (rank: number) => void = () => {}
  #onHost: (files: HostFiles) => void = () => {}
  #closed = false
  #lane: SameHostLane | null = null
  readonly #streamServer: StreamServer | null
  readonly #pool = new PiecePool()
  #streams: StreamLane | null = null
  #generation = 0
  /** Offers of a generation that this end has not joined yet, at most two of each worker. */
  #earlyOffers: Uint8Array[] = []

  constructor(inbound: Pull, streams: StreamServer | null, options: ZeromqOptions, source: string) {
    this.#inbound = inbound
    this.#streamServer = streams
    this.#options = options
    this.#source = source
    this.endpoint = inbound.lastEndpoint ?? ''
    void this.#receive()
  }

  get sameHost(): ReadonlySet<number> {
    return this.#lane?.readers ?? nobody
  }

  onFrame(handler: FrameHandler): void {
    this.#onFrame = handler
  }

  onPlace(handler: PlaceHandler): void {
    this.#placeOf = handler
  }

  onLost(handler: (rank: number) => void): void {
    this.#onLost = handler
  }

  onHost(handler: (files: HostFiles) => void): void {
    this.#onHost = handler
  }

  connect(group: TransportGroup): void {
    this.#link(group.peers)
    this.#lane?.close()
    const lane = new SameHostLane(
      group,
      (rank, header, payload) => this.send([rank], header, payload, null),
      (files) => this.#onHost(files),
    )
    this.#lane = lane
    this.#openStreams(group)
    this.#generation = group.generation
    for (const offer of this.#earlyOffers.splice(0)) this.#toLane(offer)
    if (group.wire !== 'shm') return
    const look = () => {
      if (this.#lane !== lane || this.#closed) return
      for (const { rank } of group.peers)
        if (!lane.readers.has(rank))
          this.#options.warn?.(`--wire shm: the link to rank ${rank} stays on TCP, it shares no /dev/shm`)
    }
    setTimeout(look, limits.connectMs).unref()
  }

  #openStreams(group: TransportGroup): void {
    this.#streams?.close()
    this.#streams =
      this.#streamServer &&
      new StreamLane({
        ...{ group, server: this.#streamServer, pool: this.#pool, source: this.#source },
        send: (rank, header, payload) => this.send([rank], header, payload),
        deliver: (header, payload) => this.#onFrame(header, payload),
        placeOf: (header) => this.#placeOf(header),
        lost: (rank) => this.#onLost(rank),
      })
  }

  /** A link to an endpoint outlives the generation, so that a survivor of a change of membership is reached at once. */
  #link(peers: TransportGroup['peers']): void {
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

  /** A rank without a link has gone down with its generation: the collective is aborted elsewhere. */
  send(
    ranks: readonly number[],
    header: Uint8Array,
    payload: Uint8Array,
    place: Place | null = null,
    lasting = false,
  ): void {
    let inline: Uint8Array | null = null
    let placed: Uint8Array[] | null = null
    const streamed: number[] = []
    const byFile = place !== null && payload.byteLength > (this.#options.inlineBytes ?? limits.inlineBytes)
    for (const rank of ranks) {
      const link = this.#ranks.get(rank)
      if (!link) continue
      const reads = byFile && this.#lane?.readers.has(rank)
      if (place && !reads && this.#streams?.reaches(rank)) {
        streamed.push(rank)
        continue
      }
      if (reads) placed ??= this.#lane?.place(header, payload, place) ?? null
      if (!reads || !placed) inline ??= joined(header, payload)
      const message = reads ? (placed ?? inline) : inline
      if (message) link.queue.push(message)
      if (!link.sending) void this.#drain(link)
    }
    if (streamed.length > 0) this.#streams?.send(streamed, header, payload, lasting)
  }

  left(): Promise<void> | null {
    return this.#streams?.left() ?? null
  }

  halt(): void {
    this.#streams?.close()
  }

  disconnect(): void {
    this.#link([])
    this.#lane?.close()
    this.#lane = null
    this.#streams?.close()
    this.#streams = null
  }

  close(): void {
    this.#closed = true
    this.disconnect()
    this.#inbound.close()
    this.#streamServer?.close()
  }

  #open(endpoint: string, publicKey: string | undefined): Link {
    const keys = this.#options.security
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
    socket.connect(endpoint.replace('tcp://', this.#source === '' ? 'tcp://' : `tcp://${this.#source}:0;`))
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
    try {
      for await (const [message, place] of this.#inbound) this.#deliver(message ?? empty, place)
    } catch (error) {
      if (!this.#closed) throw error
    }
  }

  #deliver(message: Uint8Array, place: Uint8Array | undefined): void {
    const kind = message[6]
    if (kind === frameKind.fileOffer || kind === frameKind.fileAccept || kind === frameKind.streamOffer)
      return this.#toLane(message)
    const header = message.subarray(0, frameHeaderBytes)
    if (place && this.#lane) this.#onFrame(header, this.#lane.payload(header, place))
    else this.#onFrame(header, bytesPayload(message.subarray(frameHeaderBytes)))
  }

  #toLane(message: Uint8Array): void {
    const header = message.subarray(0, frameHeaderBytes)
    const { generation = 0, kind = 0, sender = 0 } = decodeFrameHeader(header) ?? {}
    const payload = message.subarray(frameHeaderBytes)
    if (generation > this.#generation) {
      if (this.#earlyOffers.length < 2 * limits.maxWorkers) this.#earlyOffers.push(message)
    } else if (kind !== frameKind.streamOffer) this.#lane?.receive(header, payload)
    else if (!this.#lane?.reads(sender)) this.#streams?.receive(header, payload)
  }
}

/** ZeroMQ reads the memory after `send` has resolved, so each message gets memory of its own. */
function joined(header: Uint8Array, payload: Uint8Array): Uint8Array {
  return Buffer.concat([header, payload])
}

/** Of an address that names one interface; a host name, or all of them, leave the choice to the system. */
function sourceOf(bind: string): string {
  const host = /^tcp:\/\/(\d+\.\d+\.\d+\.\d+):/.exec(bind)?.[1]
  return host === undefined || host === '0.0.0.0' ? '' : host
}

function close(link: Link): void {
  link.closed = true
  link.queue.length = 0
  link.socket.close()
}
