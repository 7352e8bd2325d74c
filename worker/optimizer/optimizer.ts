import type { RunConfig } from '../../shared/core/config.ts'
import type { AdamArguments, Kernel, RmspropArguments, SgdArguments } from '../../shared/kernel/kernel.ts'
import type { NetworkState } from '../step/model-state.ts'

/** One update of a network's flat weights by its reduced gradient; the moments lie beside the weights. */
export type Update =
  | ({ readonly kind: 'adam' } & AdamArguments)
  | ({ readonly kind: 'rmsprop' } & RmspropArguments)
  | ({ readonly kind: 'sgd' } & SgdArguments)

/** The network's next update; it counts as made. */
export function nextUpdate(config: RunConfig, network: NetworkState, rate: number): Update {
  const step = (network.counter[0] ?? 0) + 1
  network.counter[0] = step
  const { weights, moment1, moment2, count } = network
  const common = { weights, gradient: network.gradients[0] ?? 0, count, rate }
  switch (config.optimizer) {
    case 'adam': {
      const { beta1, beta2 } = config
      return { kind: 'adam', ...common, m: moment1, v: moment2, beta1, beta2, epsilon: 1e-8, step }
    }
    case 'rmsprop':
      return { kind: 'rmsprop', ...common, v: moment2, alpha: 0.99, epsilon: 1e-8 }
    case 'sgd':
      return { kind: 'sgd', ...common, momentumBuffer: moment1, momentum: 0 }
    default:
      throw config.optimizer satisfies never
  }
}

/** Runs it for elements [first, first + count); `first` is a multiple of 16. The bits do not depend on how it is cut. */
export function runUpdate(kernel: Kernel, update: Update, first: number, count: number): void {
  const shift = first * 4
  const part = { weights: update.weights + shift, gradient: update.gradient + shift, count }
  switch (update.kind) {
    case 'adam':
      return kernel.adam({ ...update, ...part, m: update.m + shift, v: update.v + shift })
    case 'rmsprop':
      return kernel.rmsprop({ ...update, ...part, v: update.v + shift })
    case 'sgd':
      return kernel.sgd({ ...update, ...part, momentumBuffer: update.momentumBuffer + shift })
    default:
      update satisfies never
  }
}

/** Least part of its first value that a falling rate keeps. */
const rateFloor = 0.05

/** Rate of a network at a step: a function of the step and the roll-backs alone, so that a resumed run follows the same one. */
export function learningRate(config: RunConfig, network: string, step: number, stepsPerEpoch: number): number {
  const base = (config.learningRates[network] ?? 1e-3) * config.rollbackRate ** config.rollbacks
  const warm = config.warmupSteps > 0 ? Math.min(1, (step + 1) / config.warmupSteps) : 1
  if (config.decayEpochs === 0) return base * warm
  const done = Math.min(1, step / (config.decayEpochs * stepsPerEpoch))
  const left = config.decay === 'cosine' ? (1 + Math.cos(Math.PI * done)) / 2 : 1 - done
  return base * warm * Math.max(rateFloor, left)
}
