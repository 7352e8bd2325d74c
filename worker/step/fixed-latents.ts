import type { GridKind } from '../../shared/core/grid-kind.ts'
import { randomStream } from '../../shared/core/random.ts'
import { labelClasses, type ModelSpec } from '../../shared/model/spec.ts'
import { between } from '../latents.ts'
import type { ModelState } from './model-state.ts'
import { drawNoise } from './noise.ts'

/** Images that are made at once. */
export const rowsPerBlock = 100

/** Images of a row of an interpolation. */
export const interpolationSteps = 10

/**
 * Latent vectors [count, latentSize] that depend on the seed alone, so that pictures of different steps compare: drawn at random, or in rows
 * of ten on the way between two that were.
 */
export function fixedLatents(
  state: ModelState,
  { latentSize, noise }: Pick<ModelSpec, 'latentSize' | 'noise'>,
  picture: GridKind,
  count: number,
  seed: number,
): Float32Array {
  const drawn = (wanted: number): Float32Array => {
    const latents = new Float32Array(wanted * latentSize)
    for (let start = 0; start < wanted; start += rowsPerBlock) {
      const rows = Math.min(rowsPerBlock, wanted - start)
      const key = { seed, stream: randomStream.fixedNoise, step: 0, lane: start / rowsPerBlock }
      drawNoise(state, noise, 0, rows, latentSize, key)
      latents.set(state.floats(state.scratch, rows * latentSize), start * latentSize)
    }
    return latents
  }
  if (picture === 'samples') return drawn(count)
  const ends = drawn(2 * Math.ceil(count / interpolationSteps))
  const latents = new Float32Array(count * latentSize)
  for (let index = 0; index < count; index += interpolationSteps) {
    const at = ((2 * index) / interpolationSteps) * latentSize
    const [a, b] = [ends.subarray(at, at + latentSize), ends.subarray(at + latentSize, at + 2 * latentSize)]
    const row = between(a, b, interpolationSteps, noise !== 'uniform').slice(0, count - index)
    for (const [step, latent] of row.entries()) latents.set(latent, (index + step) * latentSize)
  }
  return latents
}

/** The class of an image of a picture, where the model is conditional: one after the other, one a row of an interpolation. */
export function classOf(picture: GridKind, index: number): number {
  return picture === 'interpolation' ? Math.floor(index / interpolationSteps) % labelClasses : index % labelClasses
}
