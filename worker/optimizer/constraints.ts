import type { RunConfig } from '../../shared/core/config.ts'
import type { ModelState, NetworkState } from '../step/model-state.ts'
import { iterateSpectralNorms } from '../step/spectral-norms.ts'

/**
 * Bounds the reduced gradient of some networks: first each element, then the norm over all of them (Pascanu et al. 2013,
 * algorithm 1). `norm`: the one before.
 */
export function clipGradients(
  { clipGradientValue, clipGradientNorm }: RunConfig,
  state: ModelState,
  names: readonly string[],
  norm: number,
): void {
  const networks = names.map((name) => state.network(name))
  let found = norm
  if (clipGradientValue > 0) {
    for (const { gradients, count } of networks) state.kernel.clamp(gradients[0] ?? 0, count, clipGradientValue)
    found = gradientNorm(state, networks)
  }
  if (clipGradientNorm === 0 || found <= clipGradientNorm) return
  for (const { gradients, count } of networks) state.kernel.scale(gradients[0] ?? 0, count, clipGradientNorm / found)
}

/** Euclidean norm of the reduced gradient of some networks together. */
function gradientNorm({ kernel }: ModelState, networks: readonly NetworkState[]): number {
  const squares = networks.map(({ gradients, count }) => kernel.sumSquares(gradients[0] ?? 0, count))
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0))
}

/**
 * What follows an update of a network: WGAN's bound of the critic's weights (Arjovsky et al. 2017, algorithm 1), singular vectors,
 * and the moving average, whose decay rises to its full value, so that it forgets the first weights.
 */
export function finishUpdate(config: RunConfig, state: ModelState, network: NetworkState): void {
  const { name, average, weights, count } = network
  if (config.loss === 'wgan' && name === 'discriminator')
    for (const slot of state.slots)
      if (slot.network === name && slot.role !== 'singularVector')
        state.kernel.clamp(slot.weights.byteOffset, slot.size, config.weightClip)
  iterateSpectralNorms(state, name)
  if (average === null) return
  const updates = network.counter[0] ?? 0
  state.kernel.average(average, weights, count, Math.min(config.averageDecay, (1 + updates) / (10 + updates)))
}
