import { RingleaderError } from '../../shared/core/errors.ts'
import type { GridKind } from '../../shared/core/grid-kind.ts'
import { joinFloats } from '../../shared/core/join-floats.ts'
import { labelClasses } from '../../shared/model/spec.ts'
import type { Backend, BoundParameters } from '../backend/backend.ts'
import type { Model } from '../model/model.ts'
import { classOf, fixedLatents, rowsPerBlock } from './fixed-latents.ts'
import type { ModelState } from './model-state.ts'

/** Images [count, pixels] in 0…1; the latent vectors are a function of the seed alone. A conditional model goes through the classes. */
export async function generateImages(
  model: Model,
  state: ModelState,
  backend: Backend,
  bound: BoundParameters,
  count: number,
  seed: number,
  picture: GridKind = 'samples',
): Promise<Float32Array> {
  const { latentSize } = model.spec
  const latents = fixedLatents(state, model.spec, picture, count, seed)
  const blocks: Float32Array[] = []
  for (let start = 0; start < count; start += rowsPerBlock) {
    const rows = Math.min(rowsPerBlock, count - start)
    const classes = Array.from({ length: rows }, (_, row) => classOf(picture, start + row))
    const block = latents.subarray(start * latentSize, (start + rows) * latentSize)
    blocks.push(await imagesOf(model, backend, bound, block, classes))
  }
  return joinFloats(blocks)
}

/** Images [count, pixels] in 0…1 of these latent vectors; `classes` are read by a conditional model. */
export function imagesOf(
  model: Model,
  backend: Backend,
  bound: BoundParameters,
  noise: Float32Array,
  classes: readonly number[],
): Promise<Float32Array> {
  const { ops } = backend
  const { latentSize, conditional } = model.spec
  const rows = noise.length / latentSize
  const { generate } = model
  if (!generate)
    throw new RingleaderError('model', `a ${model.spec.name} makes no images; write the --checkpoint of a gan or a vae`)
  return backend.compute(() =>
    generate(
      ops,
      bound.tensors,
      ops.input(noise, [rows, latentSize]),
      conditional ? ops.input(oneHot(classes), [rows, labelClasses]) : null,
    ),
  )
}

export function oneHot(classes: readonly number[]): Float32Array {
  const rows = new Float32Array(classes.length * labelClasses)
  for (const [row, label] of classes.entries()) rows[row * labelClasses + label] = 1
  return rows
}
