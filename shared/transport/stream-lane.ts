import { randomBytes, timingSafeEqual } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { limits } from '../core/limits.ts'
import { decodeFrameHeader, encodeFrameHeader, frameKind } from '../protocol/frame.ts'
import {
  decodeStreamOffer,
  encodeStreamGreeting,
  encodeStreamLead,
  encodeStreamOffer,
  type StreamGreeting,
  streamLeadBytes,
  streamNonceBytes,
} from '../protocol/stream-link.ts'
import type { PiecePool } from './piece-pool.ts'
import { StreamReader } from './stream-reader.ts'
import type { StreamServer } from './stream-server.ts'
import type { FrameHandler, PlaceHandler, TransportGroup } from './transport.ts'

export interface StreamLaneParts {
  readonly group: TransportGroup
  readonly server: StreamServer
  readonly pool: PiecePool
  /** This end's address for connections that it makes; left out: the system's choice. */
  readonly source?: string
  send(rank: number, header: Uint8Array, payload: Uint8Array): void
  deliver: FrameHandler
  placeOf: PlaceHandler
  lost(rank: number): void
}

/**
 * Where a payload begins in its first piece. V8 copies from shared memory word by word where both places are aligned, and
 * byte by byte, four times as slow, where they are not.
 */
const payloadAt = 64

/**
 * Payloads between hosts on plain TCP connections, for one generation (docs/adr/0019-streams-between-hosts.md). Each rank
 * offers every other its port; the one that wants to read connects. Once all connections of a link are there, frames are
 * striped over them in turn. A link over which none come stays on ZeroMQ.
 */
export class StreamLane {
  readonly #parts: StreamLaneParts
  readonly #nonce = randomBytes(streamNonceBytes)
  readonly #streams: number
  /** Connections on which this end writes, by rank. */
  readonly #links = new Map<number, { sockets: (Socket | undefined)[]; missing: number; turn: number }>()
  /** Ranks from which this end reads, and all connections there are. */
  readonly #sources = new Set<number>()
  readonly #sockets = new Set<Socket>()
  /** Writes from memory that lasts which are under way, and who waits for their end. */
  #leaving = 0
  #waiting: (() => void)[] = []
  #closed = false

  constructor(parts: StreamLaneParts) {
    this.#parts = parts
    const { group, server } = parts
    this.#streams = group.peers.length < limits.manyRanks ? limits.streamsPerLink : 1
    server.onGreeting((greeting, socket) => this.#adopt(greeting, socket))
    const offer = encodeStreamOffer({ port: server.port, streams: this.#streams, nonce: this.#nonce })
    for (const { rank } of group.peers) {
      const header = encodeFrameHeader({
        ...{ kind: frameKind.streamOffer, run: group.run, generation: group.generation, step: 0, bucket: 0 },
        ...{ sender: group.rank, segment: 0, part: 0, offset: 0, count: offer.byteLength / 4 },
      })
      parts.send(rank, header, offer)
    }
  }

  /** Whether frames to this rank can go by a stream. */
  reaches(rank: number): boolean {
    return this.#links.get(rank)?.missing === 0
  }

  /** An offer: this end connects, to read what the other sends. */
  receive(headerBytes: Uint8Array, payload: Uint8Array): void {
    const header = decodeFrameHeader(headerBytes)
    const { run, generation, rank, peers } = this.#parts.group
    if (header?.run !== run || header.generation !== generation || this.#sources.has(header.sender)) return
    const offer = decodeStreamOffer(payload, limits.maxStreamsPerLink)
    const host = hostOf(peers.find((peer) => peer.rank === header.sender)?.endpoint ?? '')
    if (!offer || host === null) return
    this.#sources.add(header.sender)
    for (let index = 0; index < offer.streams; index++)
      this.#read(header.sender, host, offer.port, encodeStreamGreeting({ nonce: offer.nonce, rank, index }))
  }

  /** All of these ranks are reached. Has copied the payload when it returns, unless it lasts until `close`. */
  send(ranks: readonly number[], header: Uint8Array, payload: Uint8Array, lasting = false): void {
    const sockets = ranks.map((rank) => this.#next(rank))
    if (lasting && payload.byteLength > limits.inlineBytes) return this.#writeInPlace(sockets, header, payload)
    let piece = this.#parts.pool.take()
    let begin = payloadAt - streamLeadBytes
    encodeStreamLead(piece.subarray(begin), header, payload.byteLength)
    for (let at = 0, from = payloadAt; ; begin = from = 0, piece = this.#parts.pool.take()) {
      const some = payload.subarray(at, at + piece.byteLength - from)
      piece.set(some, from)
      at += some.byteLength
      this.#write(sockets, piece, piece.subarray(begin, from + some.byteLength))
      if (at === payload.byteLength) return
    }
  }

  left(): Promise<void> | null {
    if (this.#leaving === 0 || this.#closed) return null
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  close(): void {
    this.#closed = true
    for (const resolve of this.#waiting.splice(0)) resolve()
    for (const socket of this.#sockets) socket.destroy()
    this.#links.clear()
  }

  #next(rank: number): Socket | undefined {
    const link = this.#links.get(rank)
    return link?.sockets[link.turn++ % link.sockets.length]
  }

  #write(sockets: readonly (Socket | undefined)[], piece: Uint8Array, bytes: Uint8Array): void {
    let writing = sockets.length
    const written = () => {
      if (--writing === 0) this.#parts.pool.give(piece)
    }
    for (const socket of sockets) socket?.write(bytes, written)
  }

  #writeInPlace(sockets: readonly (Socket | undefined)[], header: Uint8Array, payload: Uint8Array): void {
    const lead = Buffer.allocUnsafe(streamLeadBytes)
    encodeStreamLead(lead, header, payload.byteLength)
    const written = () => {
      if (--this.#leaving === 0) for (const resolve of this.#waiting.splice(0)) resolve()
    }
    for (const socket of sockets) {
      if (!socket) continue
      this.#leaving++
      socket.cork() // one call for both
      socket.write(lead)
      socket.write(payload, written)
      socket.uncork()
    }
  }

  #adopt({ nonce, rank, index }: StreamGreeting, socket: Socket): boolean {
    if (this.#closed || !timingSafeEqual(nonce, this.#nonce)) return false
    if (!this.#parts.group.peers.some((peer) => peer.rank === rank) || index >= this.#streams) return false
    const link = this.#links.get(rank) ?? { sockets: Array(this.#streams), missing: this.#streams, turn: 0 }
    if (link.sockets[index]) return false
    link.sockets[index] = socket
    link.missing--
    this.#links.set(rank, link)
    this.#keep(rank, socket)
    return true
  }

  #read(rank: number, host: string, port: number, greeting: Uint8Array): void {
    const reader = new StreamReader(this.#parts.pool, this.#parts.deliver, this.#parts.placeOf)
    const { source } = this.#parts
    const socket = connect({
      ...{ host, port, noDelay: true, ...(source ? { localAddress: source } : {}) },
      onread: {
        buffer: () => reader.room,
        callback: (count) => {
          if (!this.#closed && !reader.filled(count)) socket.destroy()
          return true
        },
      },
    })
    socket.on('error', () => {}) // `close` follows, if there was a connection to lose
    socket.once('connect', () => {
      if (this.#closed) return socket.destroy()
      socket.write(greeting)
      this.#keep(rank, socket)
    })
    this.#sockets.add(socket)
  }

  /**
   * A connection that ends takes frames with it. A rank that goes on to the next generation ends its connections as well,
   * and this end is about to hear of that; so only where the generation lasts is the rank lost.
   */
  #keep(rank: number, socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#links.delete(rank)
      const report = () => {
        if (!this.#closed) this.#parts.lost(rank)
      }
      setTimeout(report, limits.streamPatienceMs).unref()
    })
  }
}

function hostOf(endpoint: string): string | null {
  const match = /^tcp:\/\/(?:\[([^\]]+)\]|([^:/]+)):\d+$/.exec(endpoint)
  return match?.[1] ?? match?.[2] ?? null
}
