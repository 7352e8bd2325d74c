import { Pull, Push } from 'zeromq'
import { limits } from '../core/limits.ts'
import { frameHeaderBytes } from '../protocol/frame.ts'
import type { FrameHandler, PeerAddress, Transport } from './transport.ts'

interface Link {
  readonly socket: Push
  readonly queue: Uint8Array[][]
  sending: boolean
  closed: boolean
}

/** The wire between hosts: one bound PULL socket for what comes in, one PUSH socket for each peer. */
export async function openZeromqTransport(bind: string): Promise<Transport> {
  const inbound = new Pull({ linger: 0, receiveHighWaterMark: 64, maxMessageSize: limits.segmentBytes + frameHeaderBytes })
  await inbound.bind(bind)
  return new ZeromqTransport(inbound)
}

class ZeromqTransport implements Transport {
  readonly endpoint: string
  readonly #inbound: Pull
  #links = new Map<number, Link>()
  #onFrame: FrameHandler = () => {}
  #onLost: (rank: number) => void = () => {}
  #closed = false

  constructor(inbound: Pull) {
    this.#inbound = inbound
    this.endpoint = inbound.lastEndpoint ?? ''
    void this.#receive()
  }

  onFrame(handler: FrameHandler): void {
    this.#onFrame = handler
  }

  onLost(handler: (rank: number) => void): void {
    this.#onLost = handler
  }

  connect(peers: readonly PeerAddress[]): void {
    this.disconnect()
    for (const peer of peers) {
      const socket = new Push({ linger: 0, sendHighWaterMark: 64, heartbeatInterval: 500, heartbeatTimeout: 2000 })
      const link: Link = { socket, queue: [], sending: false, closed: false }
      socket.events.on('disconnect', () => {
        if (!link.closed) this.#onLost(peer.rank)
      })
      socket.connect(peer.endpoint)
      this.#links.set(peer.rank, link)
    }
  }

  send(rank: number, header: Uint8Array, payload: Uint8Array): void {
    const link = this.#links.get(rank)
    if (!link) return // the link went down with its generation; the collective is aborted elsewhere
    // ZeroMQ reads the memory after `send` has resolved, so each message gets memory of its own.
    link.queue.push([Uint8Array.from(header), Uint8Array.from(payload)])
    if (!link.sending) void this.#drain(rank, link)
  }

  disconnect(): void {
    for (const link of this.#links.values()) {
      link.closed = true
      link.queue.length = 0
      link.socket.close()
    }
    this.#links = new Map()
  }

  close(): void {
    this.#closed = true
    this.disconnect()
    this.#inbound.close()
  }

  async #drain(rank: number, link: Link): Promise<void> {
    link.sending = true
    try {
      for (let frames = link.queue.shift(); frames; frames = link.queue.shift()) await link.socket.send(frames)
    } catch {
      if (!link.closed) this.#onLost(rank)
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
