/** What workers of one host tell each other of their files (docs/protocol.md). Little-endian. */
export interface FileOffer {
  readonly processId: number
  readonly descriptor: number
  /** The first bytes of the file: whoever reads them through /proc is on the same host. */
  readonly nonce: Uint8Array
}

/** Where a payload lies in its sender's file. What is in different planes never overwrites each other. */
export interface Place {
  readonly plane: number
  /** In bytes, below 4 GiB. */
  readonly offset: number
}

/** The files of all ranks of a generation, each of which can read all the others. */
export interface HostFiles {
  readonly generation: number
  /** Encoded offers: of this end, and of the others by their ranks. */
  readonly own: Uint8Array
  readonly peers: readonly (readonly [number, Uint8Array])[]
}

export const nonceBytes = 32
const offerBytes = 8 + nonceBytes
const placeBytes = 12

export function encodeOffer({ processId, descriptor, nonce }: FileOffer): Uint8Array {
  const bytes = Buffer.alloc(offerBytes)
  bytes.writeUInt32LE(processId, 0)
  bytes.writeUInt32LE(descriptor, 4)
  bytes.set(nonce, 8)
  return bytes
}

export function decodeOffer(data: Uint8Array): FileOffer | null {
  if (data.byteLength !== offerBytes) return null
  const bytes = Buffer.from(data.buffer, data.byteOffset, offerBytes)
  return { processId: bytes.readUInt32LE(0), descriptor: bytes.readUInt32LE(4), nonce: bytes.subarray(8) }
}

/** With the bytes of the payload there. */
export function encodePlace({ plane, offset }: Place, byteLength: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(placeBytes)
  bytes.writeUInt32LE(plane, 0)
  bytes.writeUInt32LE(offset, 4)
  bytes.writeUInt32LE(byteLength, 8)
  return bytes
}

export function decodePlace(data: Uint8Array): (Place & { readonly byteLength: number }) | null {
  if (data.byteLength !== placeBytes) return null
  const bytes = Buffer.from(data.buffer, data.byteOffset, placeBytes)
  return { plane: bytes.readUInt32LE(0), offset: bytes.readUInt32LE(4), byteLength: bytes.readUInt32LE(8) }
}
