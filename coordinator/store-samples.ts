import { encodeImageGrid } from '../shared/core/image-grid.ts'
import type { PreparedRun } from './prepare-run.ts'

/** Stores a sample grid. `bytes`: float32 images [count, height, width, channels] in 0…1. */
export function storeSamples({ folder, dataset }: PreparedRun, step: number, bytes: Uint8Array): void {
  const images = new Float32Array(Uint8Array.from(bytes).buffer)
  const { height, width, channels } = dataset
  folder.samples(step, encodeImageGrid(images, { height, width, channels }))
}
