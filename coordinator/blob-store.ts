import type { ChunkManifest } from '../shared/dataset/chunk.ts'
import { makeChunks, makePieces } from '../shared/dataset/chunk.ts'
import type { ImageDataset } from '../shared/dataset/image-dataset.ts'
import type { Restore } from '../shared/protocol/control.ts'
import type { StoredCheckpoint } from './checkpoint/checkpoint-store.ts'

/** Everything that a worker may fetch, by SHA-256: the data set's chunks, and the state that it starts from. */
export class BlobStore {
  readonly #blobs = new Map<string, Uint8Array>()
  readonly manifest: ChunkManifest
  readonly restore: Restore | null

  constructor(dataset: ImageDataset, checkpoint: StoredCheckpoint | null) {
    const { manifest, chunks } = makeChunks(dataset.train.images, dataset.height * dataset.width * dataset.channels)
    this.manifest = manifest
    for (const [index, chunk] of chunks.entries()) this.#blobs.set(manifest.chunks[index]?.sha256 ?? '', chunk)
    this.restore = checkpoint && {
      step: checkpoint.manifest.step,
      optimizerSteps: checkpoint.manifest.optimizerSteps,
      weights: this.#keep(checkpoint.weights),
      optimizer: this.#keep(checkpoint.optimizer),
    }
  }

  get(sha256: string): Uint8Array | undefined {
    return this.#blobs.get(sha256)
  }

  #keep(bytes: Uint8Array): { sha256: string; bytes: number }[] {
    return makePieces(bytes).map((piece) => {
      this.#blobs.set(piece.sha256, piece.bytes)
      return { sha256: piece.sha256, bytes: piece.bytes.byteLength }
    })
  }
}
