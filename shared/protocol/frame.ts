import { createHash } from 'node:crypto'

/**
 * Header of every data frame, little-endian, 40 bytes (docs/protocol.md):
 * magic u32, version u16, kind u16, run u64, generation u32, step u32, bucket u16, sender u16, segment u16, part u16, offset u32, count u32
 */
export const frameHeaderBytes = 40
const magic = 0x4c474e52 // "RNGL"
export const frameVersion = 4
export const frameKind = {
  contribution: 1,
  reduced: 2,
  /** Where the sender's file is, and what proves it (same-host-lane.ts). */
  fileOffer: 3,
  stateRequest: 4,
  statePiece: 5,
  /** The receiver of an offer can read the file. */
  fileAccept: 6,
  /** Asks for an answer, to measure the link; `segment` says which. To a hub: here I am. */
  probe: 7,
  probeAnswer: 8,
  /** Where the sender's streams are (stream-lane.ts). */
  streamOffer: 9,
  /** An activation for the next stage of a pipeline, or its gradient for the one before: of micro-batch `bucket`. */
  activation: 10,
  activationGradient: 11,
} as const

/** Number of buckets that a phase may have: bucket numbers of a step are phase · this + bucket. */
export const bucketsPerPhase = 64

/** Buckets from here on are reduced over all ranks of a group of pipelines, those before it over the ranks of a stage. */
export const wholeGroupBucket = 0x8000

export interface FrameHeader {
  readonly kind: number
  /** First 8 bytes of SHA-256 of the run id. */
  readonly run: bigint
  readonly generation: number
  readonly step: number
  readonly bucket: number
  /** Rank of the sender. */
  readonly sender: number
  readonly segment: number
  /** Which of the sender's partial sums (lanes.ts); 0 where it has one. */
  readonly part: number
  /** Position of the payload within the bucket, and its length, in float32 elements, as whatever it travels. */
  readonly offset: number
  readonly count: number
}

export function runTag(runId: string): bigint {
  return createHash('sha256').update(runId).digest().readBigUInt64LE(0)
}

export function encodeFrameHeader(header: FrameHeader): Uint8Array {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes) // every byte is written
  bytes.writeUInt32LE(magic, 0)
  bytes.writeUInt16LE(frameVersion, 4)
  bytes.writeUInt16LE(header.kind, 6)
  bytes.writeBigUInt64LE(header.run, 8)
  bytes.writeUInt32LE(header.generation, 16)
  bytes.writeUInt32LE(header.step, 20)
  bytes.writeUInt16LE(header.bucket, 24)
  bytes.writeUInt16LE(header.sender, 26)
  bytes.writeUInt16LE(header.segment, 28)
  bytes.writeUInt16LE(header.part, 30)
  bytes.writeUInt32LE(header.offset, 32)
  bytes.writeUInt32LE(header.count, 36)
  return bytes
}

/** The same header from another sender. */
export function withSender(header: Uint8Array, sender: number): Uint8Array {
  const bytes = Buffer.from(header)
  bytes.writeUInt16LE(sender, 26)
  return bytes
}

/** Null for anything that is not a frame of this version. */
export function decodeFrameHeader(data: Uint8Array): FrameHeader | null {
  if (data.byteLength !== frameHeaderBytes) return null
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  if (bytes.readUInt32LE(0) !== magic || bytes.readUInt16LE(4) !== frameVersion) return null
  const kind = bytes.readUInt16LE(6)
  if (kind < 1 || kind > 11) return null
  return {
    kind,
    run: bytes.readBigUInt64LE(8),
    generation: bytes.readUInt32LE(16),
    step: bytes.readUInt32LE(20),
    bucket: bytes.readUInt16LE(24),
    sender: bytes.readUInt16LE(26),
    segment: bytes.readUInt16LE(28),
    part: bytes.readUInt16LE(30),
    offset: bytes.readUInt32LE(32),
    count: bytes.readUInt32LE(36),
  }
}
