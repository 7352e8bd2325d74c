import type { RunConfig } from '../../shared/core/config.ts'
import { randomStream } from '../../shared/core/random.ts'
import type { ModelState, ParameterSlot } from './model-state.ts'
import { iterateSpectralNorms } from './spectral-norms.ts'

/** Iterations that find the singular vectors of the first weights. */
const firstIterations = 20

/**
 * Initial weights, a pure function of the seed and the parameter's position in the whole model. Biases are 0 but for `torch`.
 * `position`: by name, where the state holds a part of the model.
 */
export function initializeWeights(
  state: ModelState,
  seed: number,
  initializer: RunConfig['initializer'],
  position?: ReadonlyMap<string, number>,
): void {
  for (const { offset, bytes } of state.regions) state.floats(offset, bytes / 4).fill(0)
  for (const [index, slot] of state.slots.entries()) {
    const key = { seed, stream: randomStream.init, step: position?.get(slot.name) ?? index, lane: 0 }
    const place = slot.weights.byteOffset
    if (slot.role === 'scale') slot.weights.fill(1)
    else if (slot.role === 'singularVector') state.kernel.philoxNormal(place, slot.size, key)
    else if (slot.role === 'kernel' && initializer === 'normal') {
      state.kernel.philoxNormal(place, slot.size, key)
      scaleInPlace(slot.weights, 0.02, 0)
    } else {
      const bound = initialBound(slot, initializer)
      if (bound === 0) continue
      state.kernel.philoxUniform(place, slot.size, key)
      scaleInPlace(slot.weights, 2 * bound, -bound)
    }
  }
  for (const { name, average, weights, count } of state.networks.values()) {
    for (let iteration = 0; iteration < firstIterations; iteration++) iterateSpectralNorms(state, name)
    if (average !== null) state.floats(average, count).set(state.floats(weights, count))
  }
}

/** Half-width of the uniform distribution. Glorot & Bengio 2010, eq. 16; `torch`: nn.Linear's 1 / √fan-in, biases too. */
function initialBound({ role, fanIn, fanOut }: ParameterSlot, initializer: RunConfig['initializer']): number {
  if (initializer === 'torch') return 1 / Math.sqrt(fanIn)
  return initializer === 'glorot' && role === 'kernel' ? Math.sqrt(6 / (fanIn + fanOut)) : 0
}

function scaleInPlace(values: Float32Array, factor: number, shift: number): void {
  for (let index = 0; index < values.length; index++) values[index] = (values[index] ?? 0) * factor + shift
}
