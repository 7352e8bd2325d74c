/** Where a frame goes or comes from in the data plane. */
export type FrameHandler = (header: Uint8Array, payload: Uint8Array) => void

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

/**
 * Moves data frames between the ranks of one generation. Frames from one sender arrive in order or not at all.
 * `send` has copied the payload when it returns, so the caller may reuse the memory at once.
 */
export interface Transport {
  /** The address that peers connect to. */
  readonly endpoint: string
  onFrame(handler: FrameHandler): void
  /** Called with the rank of a peer whose link is lost, or does not come to be within `limits.connectMs`. */
  onLost(handler: (rank: number) => void): void
  connect(peers: readonly PeerAddress[]): void
  send(rank: number, header: Uint8Array, payload: Uint8Array): void
  /** Drops all links and what is queued on them; the endpoint stays. */
  disconnect(): void
  close(): void
}
