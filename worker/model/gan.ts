import type { RunConfig } from '../../shared/core/config.ts'
import type { ModelSpec, NetworkSpec } from '../../shared/core/model-spec.ts'
import type { Ops, Tensor } from '../backend/backend.ts'
import type { Model, Phase, Prepare } from './model.ts'
import { applySequential, dense } from './network.ts'

const latentSize = 100

/** The article's dense GAN: noise 100 → 7·7·256 relu → pixels tanh; pixels → 256 → 256 → 1 logit. */
export function gan(config: RunConfig, pixels: number): Model {
  const generator: NetworkSpec = {
    name: 'generator',
    inputSize: latentSize,
    layers: [dense('dense0', 7 * 7 * 256, 'relu'), dense('dense1', pixels, 'tanh')],
  }
  const discriminator: NetworkSpec = {
    name: 'discriminator',
    inputSize: pixels,
    layers: [dense('dense0', 256, 'relu'), dense('dense1', 256, 'relu'), dense('dense2', 1, 'linear')],
  }
  const spec: ModelSpec = { name: 'gan', networks: [generator, discriminator], latentSize, pixelRange: [-1, 1] }

  const fakes: Prepare = (ops, parameters, noise) => applySequential(ops, generator, parameters, noise)

  const discriminatorPhase = (batch: number): Phase => ({
    name: 'discriminator',
    updates: ['discriminator'],
    batch,
    noiseSize: latentSize,
    prepare: fakes,
    scalars: ['realLoss', 'fakeLoss'],
    evaluate(ops, parameters, images, fake, globalRows) {
      const rows = fake.shape[0] ?? 0
      const logits = applySequential(ops, discriminator, parameters, ops.concatRows(images as Tensor, fake))
      const realLoss = ops.scale(realTerm(ops, ops.rows(logits, 0, rows), config.realTarget), 1 / globalRows)
      const fakeLoss = ops.scale(ops.sum(ops.softplus(ops.rows(logits, rows, rows))), 1 / globalRows)
      return { loss: ops.add(realLoss, fakeLoss), scalars: { realLoss, fakeLoss } }
    },
  })

  const generatorPhase: Phase = {
    name: 'generator',
    updates: ['generator'],
    batch: null,
    noiseSize: latentSize,
    prepare: null,
    scalars: [],
    evaluate(ops, parameters, _images, noise, globalRows) {
      const logits = applySequential(ops, discriminator, parameters, applySequential(ops, generator, parameters, noise))
      return { loss: ops.scale(generatorLoss(ops, logits, config.loss), 1 / globalRows), scalars: {} }
    },
  }

  return {
    spec,
    phases: (batches) => [...Array.from({ length: batches }, (_, batch) => discriminatorPhase(batch)), generatorPhase],
    generate: (ops, parameters, noise) => {
      const image = applySequential(ops, generator, parameters, noise)
      return ops.scale(ops.add(image, ops.input(new Float32Array([1]), [1])), 0.5)
    },
  }
}

/**
 * −Σ [t log D + (1 − t) log(1 − D)] over the real rows, D = sigmoid(logit): softplus(logit) − t · logit.
 * t = 1 is Goodfellow et al. 2014, eq. 1; t < 1 is one-sided label smoothing (Salimans et al. 2016, section 3.4).
 */
function realTerm(ops: Ops, logits: Tensor, target: number): Tensor {
  return ops.sum(ops.sub(ops.softplus(logits), ops.scale(logits, target)))
}

/**
 * Goodfellow et al. 2014. Minimax, eq. 1: Σ log(1 − D(G(z))) = −Σ softplus(logit).
 * Non-saturating, section 3: −Σ log D(G(z)) = Σ softplus(−logit).
 */
function generatorLoss(ops: Ops, logits: Tensor, form: RunConfig['loss']): Tensor {
  return form === 'minimax' ? ops.neg(ops.sum(ops.softplus(logits))) : ops.sum(ops.softplus(ops.neg(logits)))
}
