import { assert, usage } from '../../shared/core/errors.ts'
import type { Hyperparameters } from '../../shared/model/hyperparameters.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import type { Ops, Tensor } from '../backend/backend.ts'
import { rising } from './annealing.ts'
import type { Model, Phase } from './model.ts'
import { applyNetwork, applySequential } from './network.ts'
import { networkOf } from './network-of.ts'
import { noiseToLatent, priorOf, priorRatio } from './prior.ts'

/** An encoder and a decoder, with a Bernoulli likelihood on the decoder's logits. */
export function vae(spec: ModelSpec, config: Hyperparameters): Model {
  const encoder = networkOf(spec, 'encoder')
  const decoder = networkOf(spec, 'decoder')
  const prior = priorOf(spec)
  if (prior && config.freeBits > 0)
    throw usage(`--free-bits counts nats by dimension, which the prior of ${spec.name} has not; leave it out`)

  /**
   * −ELBO per image in nats (Kingma & Welling 2014, eq. 10 and appendix B), one sample of z = μ + σ ε:
   * reconstruction = Σ_pixels softplus(logit) − x · logit; KL = ½ Σ (e^{log σ²} + μ² − 1 − log σ²).
   * With a prior that is learned the KL is that of the sample (prior.ts). It weighs `beta` in the loss (Higgins et al. 2017, eq. 4); what is reported is not weighted.
   */
  const phase = (beta: number): Phase => ({
    name: 'vae',
    updates: ['encoder', 'decoder', ...(prior ? [prior.name] : [])],
    batch: 0,
    prepare: null,
    draws: {},
    scalars: ['reconstruction', 'kl'],
    evaluate(ops, parameters, { images, noise, labels, globalRows, rows }) {
      assert(images, 'a VAE reads images')
      const encoded = applyNetwork(ops, encoder, parameters, images, labels)
      const mean = encoded.get('mean') as Tensor
      const logVariance = encoded.get('logVariance') as Tensor
      const z = latentOf(ops, mean, logVariance, noise)
      const logits = applySequential(ops, decoder, parameters, z, labels)
      const reconstruction = ops.scale(ops.bernoulli(logits, images), 1 / globalRows)
      const { freeBits } = config
      const { kl, weighted } = prior
        ? sampledCost(ops.sum(priorRatio(ops, prior, parameters, { z, noise, logVariance })))
        : divergenceCost(ops, { mean, logVariance, beta, freeBits, rows, globalRows })
      return { loss: ops.add(reconstruction, weighted), scalars: { reconstruction, kl } }

      function sampledCost(ratio: Tensor) {
        const divergence = ops.scale(ratio, -1 / globalRows)
        return { kl: divergence, weighted: beta === 1 ? divergence : ops.scale(divergence, beta) }
      }
    },
  })
  return {
    spec,
    phases: (_batches, { epochs }) => [phase(rising(config.beta, epochs, config.klWarmupEpochs))],
    generate(ops, parameters, noise, labels) {
      const z = prior ? noiseToLatent(ops, prior, parameters, noise) : noise
      return ops.sigmoid(applySequential(ops, decoder, parameters, z, labels))
    },
    reconstruct(ops, parameters, images, labels) {
      const mean = applyNetwork(ops, encoder, parameters, images, labels).get('mean') as Tensor
      return ops.sigmoid(applySequential(ops, decoder, parameters, mean, labels))
    },
    divergence(ops, parameters, images, labels) {
      const encoded = applyNetwork(ops, encoder, parameters, images, labels)
      const [mean, logVariance] = [encoded.get('mean') as Tensor, encoded.get('logVariance') as Tensor]
      return ops.scale(twiceDivergence(ops, mean, logVariance), 0.5)
    },
  }
}

/** z = μ + σ ε. */
export function latentOf(ops: Ops, mean: Tensor, logVariance: Tensor, noise: Tensor): Tensor {
  return ops.add(mean, ops.mul(noise, ops.exp(ops.scale(logVariance, 0.5))))
}

/** The KL term over the rows of the whole batch, and what it counts in the loss. */
export function divergenceCost(
  ops: Ops,
  { mean, logVariance, beta, freeBits, rows, globalRows }: Heads & Pick<Hyperparameters, 'beta' | 'freeBits'>,
): { readonly kl: Tensor; readonly weighted: Tensor } {
  const divergence = twiceDivergence(ops, mean, logVariance)
  const kl = ops.scale(ops.sum(divergence), 0.5 / globalRows)
  const cost = freeBits > 0 ? freeOfCost(ops, divergence, freeBits, rows, globalRows) : kl
  return { kl, weighted: beta === 1 ? cost : ops.scale(cost, beta) }
}

interface Heads {
  readonly mean: Tensor
  readonly logVariance: Tensor
  readonly rows: number
  readonly globalRows: number
}

/** 2 KL(N(μ, σ²) ‖ N(0, 1)) of every value. */
export function twiceDivergence(ops: Ops, mean: Tensor, logVariance: Tensor): Tensor {
  const one = ops.input(Float32Array.of(1), [1])
  return ops.sub(ops.sub(ops.add(ops.exp(logVariance), ops.square(mean)), one), logVariance)
}

/**
 * Free bits, by sample and dimension: Σ_j max(λ, KL_j). Kingma et al. 2016, eq. 15, take the mean over the batch inside the
 * maximum; that would tie the ranks together within a loss, so it is taken outside.
 */
function freeOfCost(ops: Ops, divergence: Tensor, nats: number, rows: number, globalRows: number): Tensor {
  const free = ops.input(Float32Array.of(nats), [1])
  const above = ops.sum(ops.relu(ops.sub(ops.scale(divergence, 0.5), free)))
  const floor = (rows * (divergence.shape[1] ?? 0) * nats) / globalRows
  return ops.add(ops.scale(above, 1 / globalRows), ops.input(Float32Array.of(floor), []))
}
