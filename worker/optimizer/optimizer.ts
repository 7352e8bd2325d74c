import type { RunConfig } from '../../shared/core/config.ts'
import type { Kernel } from '../../shared/kernel/kernel.ts'
import type { NetworkState } from '../step/model-state.ts'

/** One update of a network's flat weights by its reduced gradient; the moments live beside the weights. */
export function applyUpdate(kernel: Kernel, config: RunConfig, network: NetworkState, rate: number): void {
  const step = (network.counter[0] ?? 0) + 1
  network.counter[0] = step
  const { weights, moment1, moment2, count } = network
  const gradient = network.gradients[0] ?? 0
  switch (config.optimizer) {
    case 'adam':
      kernel.adam({
        weights,
        gradient,
        m: moment1,
        v: moment2,
        count,
        rate,
        beta1: config.beta1,
        beta2: config.beta2,
        epsilon: 1e-8,
        step,
      })
      return
    case 'rmsprop':
      kernel.rmsprop({ weights, gradient, v: moment2, count, rate, alpha: 0.99, epsilon: 1e-8 })
      return
    case 'sgd':
      kernel.sgd({ weights, gradient, momentumBuffer: moment1, count, rate, momentum: 0 })
      return
    default:
      config.optimizer satisfies never
  }
}

/** Least part of its first value that a falling rate keeps. */
const rateFloor = 0.05

/** Rate of a network at a step: a function of the step and the roll-backs alone, so that a resumed run follows the same one. */
export function learningRate(config: RunConfig, network: string, step: number, stepsPerEpoch: number): number {
  const base = (config.learningRates[network] ?? 1e-3) * config.rollbackRate ** config.rollbacks
  if (config.decayEpochs === null) return base
  return base * Math.max(rateFloor, 1 - step / (config.decayEpochs * stepsPerEpoch))
}
