import { createHash } from 'node:crypto'

export interface ChunkManifest {
  readonly sampleBytes: number
  readonly samplesPerChunk: number
  readonly sampleCount: number
  readonly chunks: readonly BlobName[]
  /** Pieces of all labels, one byte a sample; none where the data set has none. */
  readonly labels: readonly BlobName[]
}

export interface BlobName {
  readonly sha256: string
  readonly bytes: number
}

/** Cuts samples into chunks of about `targetBytes`, named by their SHA-256; the chunks are views. Labels are left out. */
export function makeChunks(
  samples: Uint8Array,
  sampleBytes: number,
  targetBytes = 1 << 20,
): { manifest: ChunkManifest; chunks: Uint8Array[] } {
  const samplesPerChunk = Math.max(1, Math.floor(targetBytes / sampleBytes))
  const sampleCount = samples.byteLength / sampleBytes
  const chunks: Uint8Array[] = []
  for (let start = 0; start < sampleCount; start += samplesPerChunk) {
    chunks.push(samples.subarray(start * sampleBytes, Math.min(start + samplesPerChunk, sampleCount) * sampleBytes))
  }
  const entries = chunks.map((chunk) => ({ sha256: sha256(chunk), bytes: chunk.byteLength }))
  return { manifest: { sampleBytes, samplesPerChunk, sampleCount, chunks: entries, labels: [] }, chunks }
}

/** Pieces of a file, to be fetched by their SHA-256 and put together again. */
export function makePieces(bytes: Uint8Array, pieceBytes = 1 << 20): { sha256: string; bytes: Uint8Array }[] {
  const pieces: { sha256: string; bytes: Uint8Array }[] = []
  for (let start = 0; start < bytes.byteLength; start += pieceBytes) {
    const piece = bytes.subarray(start, start + pieceBytes)
    pieces.push({ sha256: sha256(piece), bytes: piece })
  }
  return pieces
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
