import { frameHeaderBytes } from './frame.ts'

/** What a rank tells the others of the TCP streams on which it sends (docs/protocol.md). Little-endian. */
export interface StreamOffer {
  /** On the host of the rank's endpoint. */
  readonly port: number
  /** Connections that carry the link. */
  readonly streams: number
  /** Of one generation: whoever has got the offer knows it. */
  readonly nonce: Uint8Array
}

/** The first bytes on a connection, from the rank that will read it. */
export interface StreamGreeting {
  readonly nonce: Uint8Array
  readonly rank: number
  /** Which of the connections of this link. */
  readonly index: number
}

export const streamNonceBytes = 32
export const streamGreetingBytes = 36
/** In front of each payload: its bytes as u32, and the header of the frame. */
export const streamLeadBytes = 4 + frameHeaderBytes
const offerBytes = 8 + streamNonceBytes

export function encodeStreamOffer({ port, streams, nonce }: StreamOffer): Uint8Array {
  const bytes = Buffer.alloc(offerBytes)
  bytes.writeUInt32LE(port, 0)
  bytes.writeUInt32LE(streams, 4)
  bytes.set(nonce, 8)
  return bytes
}

/** Null for anything else, and for more streams than `mostStreams`. */
export function decodeStreamOffer(data: Uint8Array, mostStreams: number): StreamOffer | null {
  if (data.byteLength !== offerBytes) return null
  const bytes = Buffer.from(data.buffer, data.byteOffset, offerBytes)
  const [port, streams] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)]
  if (port < 1 || port > 65_535 || streams < 1 || streams > mostStreams) return null
  return { port, streams, nonce: bytes.subarray(8) }
}

export function encodeStreamGreeting({ nonce, rank, index }: StreamGreeting): Uint8Array {
  const bytes = Buffer.alloc(streamGreetingBytes)
  bytes.set(nonce, 0)
  bytes.writeUInt16LE(rank, streamNonceBytes)
  bytes.writeUInt16LE(index, streamNonceBytes + 2)
  return bytes
}

export function decodeStreamGreeting(bytes: Buffer): StreamGreeting | null {
  if (bytes.byteLength !== streamGreetingBytes) return null
  return {
    nonce: bytes.subarray(0, streamNonceBytes),
    rank: bytes.readUInt16LE(streamNonceBytes),
    index: bytes.readUInt16LE(streamNonceBytes + 2),
  }
}

export function encodeStreamLead(target: Uint8Array, header: Uint8Array, payloadBytes: number): void {
  new DataView(target.buffer, target.byteOffset).setUint32(0, payloadBytes, true)
  target.set(header, 4)
}
