import type { GridKind } from '../shared/core/grid-kind.ts'
import { encodeImageGrid } from '../shared/core/image-grid.ts'
import type { PreparedRun } from './prepare-run.ts'

/** Stores a grid of images. `bytes`: float32 [count, height, width, channels] in 0…1. */
export function storeSamples(
  { folder, dataset }: PreparedRun,
  { picture, step }: { readonly picture: GridKind; readonly step: number },
  bytes: Uint8Array,
): void {
  const images = new Float32Array(Uint8Array.from(bytes).buffer)
  const { height, width, channels } = dataset
  folder.picture(picture, step, encodeImageGrid(images, { height, width, channels }))
}
