import type { ChunkManifest } from '../shared/dataset/chunk.ts'
import { makeChunks, makePieces } from '../shared/dataset/chunk.ts'
import type { ImageDataset } from '../shared/dataset/image-dataset.ts'
import type { Restore } from '../shared/protocol/control.ts'
import type { StoredCheckpoint } from './checkpoint/checkpoint-store.ts'

/** Everything that a worker may fetch, by SHA-256: the data set's chunks, and the state that it starts from. */
export class BlobStore {
  #made: { manifest: ChunkManifest; chunks: Map<string, Uint8Array> } | null = null
  readonly #dataset: ImageDataset
  /** Pieces of one checkpoint. */
  readonly #pieces = new Map<string, Uint8Array>()

  constructor(dataset: ImageDataset) {
    this.#dataset = dataset
  }

  get manifest(): ChunkManifest {
    return this.#chunked().manifest
  }

  get(sha256: string): Uint8Array | undefined {
    return this.#pieces.get(sha256) ?? this.#chunked().chunks.get(sha256)
  }

  /** When the first worker needs it. */
  #chunked() {
    if (this.#made) return this.#made
    const { train, height, width, channels } = this.#dataset
    const { manifest, chunks } = makeChunks(train.images, height * width * channels)
    const labels = makePieces(train.labels)
    const blobs = [
      ...chunks.map((chunk, index): [string, Uint8Array] => [manifest.chunks[index]?.sha256 ?? '', chunk]),
      ...labels.map((piece): [string, Uint8Array] => [piece.sha256, piece.bytes]),
    ]
    const names = labels.map(({ sha256, bytes }) => ({ sha256, bytes: bytes.byteLength }))
    this.#made = { manifest: { ...manifest, labels: names }, chunks: new Map(blobs) }
    return this.#made
  }

  /** Makes a checkpoint's state available, in place of the one before. */
  restore({ manifest, weights, optimizer }: StoredCheckpoint): Restore {
    this.#pieces.clear()
    const { step, optimizerSteps } = manifest
    return { step, optimizerSteps, weights: this.#keep(weights), optimizer: this.#keep(optimizer) }
  }

  #keep(bytes: Uint8Array): { sha256: string; bytes: number }[] {
    return makePieces(bytes).map((piece) => {
      this.#pieces.set(piece.sha256, piece.bytes)
      return { sha256: piece.sha256, bytes: piece.bytes.byteLength }
    })
  }
}
