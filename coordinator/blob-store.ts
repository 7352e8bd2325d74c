import type { ChunkManifest } from '../shared/dataset/chunk.ts'
import { makeChunks, makePieces } from '../shared/dataset/chunk.ts'
import type { ImageDataset } from '../shared/dataset/image-dataset.ts'
import type { Restore } from '../shared/protocol/control.ts'
import type { StoredCheckpoint } from './checkpoint/checkpoint-store.ts'

/** Everything that a worker may fetch, by SHA-256: the data set's chunks, and the state that it starts from. */
export class BlobStore {
  readonly #chunks = new Map<string, Uint8Array>()
  /** Pieces of one checkpoint. */
  readonly #pieces = new Map<string, Uint8Array>()
  readonly manifest: ChunkManifest

  constructor(dataset: ImageDataset) {
    const { manifest, chunks } = makeChunks(dataset.train.images, dataset.height * dataset.width * dataset.channels)
    this.manifest = manifest
    for (const [index, chunk] of chunks.entries()) this.#chunks.set(manifest.chunks[index]?.sha256 ?? '', chunk)
  }

  get(sha256: string): Uint8Array | undefined {
    return this.#chunks.get(sha256) ?? this.#pieces.get(sha256)
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
