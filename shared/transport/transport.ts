import type { HostFiles, Place } from '../protocol/file-lane.ts'

/** What a frame carries. It may still lie elsewhere; `copyTo` brings it. Whoever keeps one keeps no more than this object. */
export interface Payload {
  readonly byteLength: number
  /** Bytes of this process's memory that it occupies until it is dropped. */
  readonly heldBytes: number
  /** Set where it lies in the memory of the kernels already, to be read alone. */
  readonly values?: Float32Array
  /** Fills `target` with the bytes from `from` on. Throws where they are gone: the sender's generation is over. */
  copyTo(target: Uint8Array, from?: number): void
  /** Nobody reads it any more, so its memory may be used again. Without this it goes when the object does. */
  release?(): void
}

/** Where a frame goes or comes from in the data plane. */
export type FrameHandler = (header: Uint8Array, payload: Payload) => void

export type PlaceHandler = (header: Uint8Array) => Uint8Array | null

export interface PeerAddress {
  readonly rank: number
  readonly endpoint: string
  /** CURVE key of the peer, where links are secured. */
  readonly publicKey?: string
}

/** CURVE keys of this end, Z85. With them a link is encrypted, and the far end proves that it has its own key. */
export interface TransportSecurity {
  readonly publicKey: string
  readonly secretKey: string
}

/** `auto`: through a file between workers of one host, else TCP. `shm`: the same, and a line for each link that is not. */
export type Wire = 'auto' | 'shm' | 'tcp'

/** One end's place in a generation. */
export interface TransportGroup {
  readonly run: bigint
  readonly generation: number
  readonly rank: number
  /** The other ranks. */
  readonly peers: readonly PeerAddress[]
  readonly wire: Wire
}

/**
 * Moves data frames between the ranks of one generation. Frames without a place from one sender
 * arrive in order or not at all; those with one may overtake others.
 * `send` has copied the payload when it returns, so the caller may reuse the memory at once. What goes through a file
 * stays at its place until something else is sent in that place: whoever sends sees to it that all receivers have read it
 * by then. A payload without a place travels in its message. One that is `lasting` need not be copied: its memory stays as it is
 * until all receivers have read it, or it has left (`left`), or `halt` was called.
 */
export interface Transport {
  /** The address that peers connect to. */
  readonly endpoint: string
  /** Ranks of this generation that have proven, so far, that they are on this host. */
  readonly sameHost: ReadonlySet<number>
  onFrame(handler: FrameHandler): void
  /** Asked, once a header is there, where to its payload may be read at once; null: no such place, or not yet. */
  onPlace?(handler: PlaceHandler): void
  /** Called with the rank of a peer whose link is lost, or does not come to be within `limits.connectMs`. */
  onLost(handler: (rank: number) => void): void
  /** Called when all ranks of a generation turn out to be on one host. */
  onHost?(handler: (files: HostFiles) => void): void
  connect(group: TransportGroup): void
  send(ranks: readonly number[], header: Uint8Array, payload: Uint8Array, place?: Place | null, lasting?: boolean): void
  /** Settles once all that was sent from memory that lasts has left this process; null: it has. */
  left?(): Promise<void> | null
  /** Drops, before it returns, what is still being sent from memory that lasts; then that memory may change. */
  halt?(): void
  /** Drops all links and what is queued on them; the endpoint stays. */
  disconnect(): void
  close(): void
}

/** A payload that has been read to where it belongs. */
export function placedPayload(bytes: Uint8Array): Payload {
  const { copyTo } = bytesPayload(bytes)
  return {
    ...{ byteLength: bytes.byteLength, heldBytes: 0 },
    copyTo(target, from = 0) {
      const isThere = target.buffer === bytes.buffer && target.byteOffset === bytes.byteOffset + from
      if (!isThere) copyTo(target, from)
    },
  }
}

/** A payload that came with its message. */
export function bytesPayload(bytes: Uint8Array): Payload {
  return {
    byteLength: bytes.byteLength,
    heldBytes: bytes.byteLength,
    copyTo: (target, from = 0) => target.set(bytes.subarray(from, from + target.byteLength)),
  }
}
