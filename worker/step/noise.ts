import { assert } from '../../shared/core/errors.ts'
import type { RandomKey } from '../../shared/core/random.ts'
import type { Hyperparameters } from '../../shared/model/hyperparameters.ts'
import type { ModelState } from './model-state.ts'

export type Distribution = Hyperparameters['noise'] | 'unit'

/** Keys of further draws of a row whose first one lay outside: lanes end far below. */
const attemptLanes = 1 << 16
const truncatedAt = 2

/**
 * `rows` × `size` numbers, a pure function of the key. normal: N(0, 1). uniform: [−1, 1). unit: [0, 1). truncated: N(0, 1) drawn
 * again where it lies outside ±2 (Brock et al. 2019, section 3.1). spherical: evenly on the sphere of radius √size, where a normal
 * vector of that size mostly lies (White 2016). bernoulli: −1 or 1, each as often (Brock et al. 2019, appendix E, who have 0 and 1).
 * They lie in the state's scratch region until the next call.
 */
export function drawNoise(
  state: ModelState,
  distribution: Distribution,
  place: number,
  rows: number,
  size: number,
  key: RandomKey,
): void {
  const { kernel } = state
  const count = rows * size
  const offset = state.scratch + place * 4
  assert((place + count) * 4 <= state.scratchBytes, 'noise fits its region')
  const values = state.floats(offset, count)
  switch (distribution) {
    case 'normal':
      return kernel.philoxNormal(offset, count, key)
    case 'unit':
      return kernel.philoxUniform(offset, count, key)
    case 'uniform':
      kernel.philoxUniform(offset, count, key)
      for (let index = 0; index < count; index++) values[index] = 2 * (values[index] ?? 0) - 1
      return
    case 'bernoulli':
      kernel.philoxUniform(offset, count, key)
      for (let index = 0; index < count; index++) values[index] = (values[index] ?? 0) < 0.5 ? -1 : 1
      return
    case 'truncated':
      return drawTruncated(state, offset, count, key)
    case 'spherical':
      kernel.philoxNormal(offset, count, key)
      for (let row = 0; row < rows; row++) ontoSphere(values.subarray(row * size, (row + 1) * size))
      return
    default:
      distribution satisfies never
  }
}

function drawTruncated(state: ModelState, offset: number, count: number, key: RandomKey): void {
  const values = state.floats(offset, count)
  state.kernel.philoxNormal(offset, count, key)
  const outside = (value = 0) => Math.abs(value) > truncatedAt
  const kept = values.slice()
  for (let attempt = 1; kept.some(outside); attempt++) {
    state.kernel.philoxNormal(offset, count, { ...key, lane: key.lane + attempt * attemptLanes })
    for (const [index, value] of kept.entries()) if (outside(value)) kept[index] = values[index] ?? 0
  }
  values.set(kept)
}

function ontoSphere(row: Float32Array): void {
  const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0))
  const factor = Math.sqrt(row.length) / Math.max(length, 1e-12)
  for (let index = 0; index < row.length; index++) row[index] = (row[index] ?? 0) * factor
}
