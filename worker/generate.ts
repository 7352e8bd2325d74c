import type { RunConfig } from '../shared/core/config.ts'
import { usage } from '../shared/core/errors.ts'
import type { ImageShape } from '../shared/core/image-grid.ts'
import { labelClasses } from '../shared/model/spec.ts'
import { type BackendName, openBackend } from './backend/open-backend.ts'
import { plane } from './latents.ts'
import { makeModel } from './model/make-model.ts'
import { restoreCheckpoint } from './step/checkpoint-files.ts'
import { classOf, fixedLatents, rowsPerBlock } from './step/fixed-latents.ts'
import { imagesOf, oneHot } from './step/images.ts'
import { ModelState } from './step/model-state.ts'
import { scratchBytesOf } from './step/state-room.ts'

/** What to make images of. */
export type Picture =
  /** Latent vectors drawn at random. */
  | { readonly kind: 'samples' }
  /** Rows of ten images, each on the way from one latent vector to another. */
  | { readonly kind: 'interpolation' }
  /** A square map of a latent plane. */
  | { readonly kind: 'map' }
  /** What a VAE makes of these images: bytes [count, pixels] and their labels. */
  | { readonly kind: 'reconstruction'; readonly images: Uint8Array; readonly labels: Uint8Array }

export interface GenerateRequest {
  readonly config: RunConfig
  readonly image: ImageShape
  /** The checkpoint's weights.safetensors. */
  readonly weights: Uint8Array
  readonly picture: Picture
  readonly count: number
  readonly seed: number
  /** Class to make, of a conditional model; null: one after the other. */
  readonly label: number | null
  readonly backend: BackendName
  /** As openBackend takes it. */
  readonly device: string | null
  readonly threads: number
}

/** Images [count, pixels] in 0…1; the same noise for the same seed. */
export async function generateFromCheckpoint(request: GenerateRequest): Promise<Float32Array> {
  const { config, image, weights, picture, count, label, threads } = request
  const model = makeModel(config, image)
  const { conditional, latentSize, name } = model.spec
  if (label !== null && !conditional) throw usage(`--label: model ${name} knows no classes; leave it out`)
  if (picture.kind === 'map' && latentSize !== 2)
    throw usage(`--latent-map needs a latent size of 2, this model has ${latentSize}; train with --latent-size 2`)
  if (picture.kind === 'reconstruction' && !model.reconstruct)
    throw usage(`--reconstruct needs a VAE; model ${name} cannot find what an image is made of`)
  const state = new ModelState(model.spec, scratchBytesOf(model, 1))
  restoreCheckpoint(state, weights, null, {})
  const backend = await openBackend(request.backend, threads, request.device)
  const bound = backend.bind(state.allSlots())
  const pixels = image.height * image.width * image.channels
  const images = new Float32Array(count * pixels)
  const latents = latentsOf()
  try {
    for (let start = 0; start < count; start += rowsPerBlock) {
      const rows = Math.min(rowsPerBlock, count - start)
      const classes = Array.from({ length: rows }, (_, row) => label ?? classAt(start + row))
      const made =
        picture.kind === 'reconstruction'
          ? reconstructed(picture.images, start, rows, classes)
          : imagesOf(model, backend, bound, latents.subarray(start * latentSize, (start + rows) * latentSize), classes)
      images.set(await made, start * pixels)
    }
    return images
  } finally {
    bound.dispose()
  }

  function latentsOf(): Float32Array {
    if (picture.kind === 'reconstruction') return new Float32Array(0)
    if (picture.kind === 'map') return plane(Math.sqrt(count))
    return fixedLatents(state, model.spec, picture.kind, count, request.seed)
  }

  function classAt(index: number): number {
    if (picture.kind === 'reconstruction') return picture.labels[index] ?? 0
    return classOf(picture.kind === 'interpolation' ? picture.kind : 'samples', index)
  }

  function reconstructed(bytes: Uint8Array, start: number, rows: number, classes: readonly number[]) {
    const { ops } = backend
    const [low, high] = model.spec.pixelRange
    const values = Float32Array.from(
      bytes.subarray(start * pixels, (start + rows) * pixels),
      (byte) => low + (byte / 255) * (high - low),
    )
    return backend.compute(() => {
      const labels = conditional ? ops.input(oneHot(classes), [rows, labelClasses]) : null
      const tensor = model.reconstruct?.(ops, bound.tensors, ops.input(values, [rows, pixels]), labels)
      return tensor ?? ops.input(values, [rows, pixels])
    })
  }
}
