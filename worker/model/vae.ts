import { assert } from '../../shared/core/errors.ts'
import type { ModelSpec, NetworkSpec } from '../../shared/core/model-spec.ts'
import type { Tensor } from '../backend/backend.ts'
import type { Model, Phase } from './model.ts'
import { applyNetwork, applySequential, dense } from './network.ts'

const latentSize = 32

/** The article's dense VAE: pixels-256-128-(32, 32)-128-256-pixels, Bernoulli likelihood on logits. */
export function vae(pixels: number): Model {
  const encoder: NetworkSpec = {
    name: 'encoder',
    inputSize: pixels,
    layers: [
      dense('dense0', 256, 'relu'),
      dense('dense1', 128, 'relu'),
      dense('mean', latentSize, 'linear', 'dense1'),
      dense('logVariance', latentSize, 'linear', 'dense1'),
    ],
  }
  const decoder: NetworkSpec = {
    name: 'decoder',
    inputSize: latentSize,
    layers: [dense('dense0', 128, 'relu'), dense('dense1', 256, 'relu'), dense('logits', pixels, 'linear')],
  }
  const spec: ModelSpec = { name: 'vae', networks: [encoder, decoder], latentSize, pixelRange: [0, 1] }

  const phase: Phase = {
    name: 'vae',
    updates: ['encoder', 'decoder'],
    batch: 0,
    noiseSize: latentSize,
    prepare: null,
    scalars: ['reconstruction', 'kl'],
    /**
     * −ELBO per image in nats (Kingma & Welling 2014, eq. 10 and appendix B), one sample of z = μ + σ ε:
     * reconstruction = Σ_pixels softplus(logit) − x · logit; KL = ½ Σ (e^{log σ²} + μ² − 1 − log σ²).
     */
    evaluate(ops, parameters, images, noise, globalRows) {
      assert(images, 'a VAE reads images')
      const encoded = applyNetwork(ops, encoder, parameters, images)
      const mean = encoded.get('mean') as Tensor
      const logVariance = encoded.get('logVariance') as Tensor
      const z = ops.add(mean, ops.mul(noise, ops.exp(ops.scale(logVariance, 0.5))))
      const logits = applySequential(ops, decoder, parameters, z)
      const one = ops.input(new Float32Array([1]), [1])
      const reconstruction = ops.scale(ops.bernoulli(logits, images), 1 / globalRows)
      const divergence = ops.sub(ops.sub(ops.add(ops.exp(logVariance), ops.square(mean)), one), logVariance)
      const kl = ops.scale(ops.sum(divergence), 0.5 / globalRows)
      return { loss: ops.add(reconstruction, kl), scalars: { reconstruction, kl } }
    },
  }
  return {
    spec,
    phases: () => [phase],
    generate: (ops, parameters, noise) => ops.sigmoid(applySequential(ops, decoder, parameters, noise)),
  }
}
