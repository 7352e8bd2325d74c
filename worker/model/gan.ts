import { assert } from '../../shared/core/errors.ts'
import type { Hyperparameters } from '../../shared/model/hyperparameters.ts'
import { averageOf, type ModelSpec } from '../../shared/model/spec.ts'
import type { Ops, Parameters, Tensor } from '../backend/backend.ts'
import { falling } from './annealing.ts'
import {
  accuracyNames,
  type Discriminator,
  fakeLoss,
  generatorLoss,
  gradientPenalty,
  r1Penalty,
  realLoss,
  rightRows,
} from './gan-losses.ts'
import type { Draw, Model, Phase, PhaseInputs, Prepare } from './model.ts'
import { applySequential } from './network.ts'
import { networkOf } from './network-of.ts'
import { pack } from './packing.ts'

/** Name under which the discriminator finds the labels among its parameters. */
const labelsKey = 'labels'

/**
 * A generator and a discriminator: so many updates of the discriminator as the step has batches, then one of the generator. `isLastStage`: of a
 * pipeline, which has the last layers of the generator or none; what the stages before it made comes in place of noise, and in updates of the
 * discriminator whole images.
 */
export function gan(spec: ModelSpec, config: Hyperparameters, isLastStage = false): Model {
  const { loss } = config
  const generator = spec.networks.find(({ name }) => name === 'generator') ?? null
  const discriminator = networkOf(spec, 'discriminator')
  const pixels = spec.image.height * spec.image.width * spec.image.channels
  const penalty = loss === 'wgan-gp' ? config.gradientPenalty : 0

  assert(generator || isLastStage, `model ${spec.name} has a generator`)
  const generate = (ops: Ops, parameters: Parameters, noise: Tensor, labels: Tensor | null, network = generator) =>
    network ? applySequential(ops, network, parameters, noise, labels) : noise
  const fakes: Prepare = (ops, parameters, noise) => generate(ops, parameters, noise, null)
  /** There with the images only, so that no fakes are made before; but for the stages of a pipeline, each of which sees both. */
  const labelled = spec.conditional && !isLastStage

  const judge: Discriminator = (ops, parameters, x) =>
    applySequential(ops, discriminator, parameters, x, parameters.get(labelsKey) ?? null)
  const withLabels = (parameters: Parameters, labels: Tensor | null): Parameters =>
    labels ? new Map([...parameters, [labelsKey, labels]]) : parameters

  /** What the discriminator sees of images: with noise on them, packed. */
  const seen = (ops: Ops, x: Tensor, noise: Tensor | undefined, level: number, { laneRows }: PhaseInputs) => {
    const noisy = noise && level > 0 ? ops.add(x, ops.scale(noise, level)) : x
    return pack(ops, noisy, spec.packing, laneRows, spec.image)
  }

  const discriminatorPhase = (batch: number, level: number, r1: number): Phase => ({
    name: 'discriminator',
    updates: ['discriminator'],
    batch,
    prepare: labelled ? null : fakes,
    draws: {
      ...(level > 0 ? { realNoise: normal(pixels), fakeNoise: normal(pixels) } : {}),
      ...(penalty > 0 ? { alpha: { size: 1, distribution: 'uniform' } } : {}),
    },
    scalars: ['realLoss', 'fakeLoss', ...accuracyNames(loss), ...(penalty > 0 || r1 > 0 ? ['penalty'] : [])],
    evaluate(ops, parameters, inputs) {
      const { images, draws, labels, rows, globalRows } = inputs
      assert(images, 'a discriminator reads images')
      const real = seen(ops, images, draws.realNoise, level, inputs)
      const made = labelled ? generate(ops, parameters, inputs.noise, labels) : inputs.noise
      const fake = seen(ops, made, draws.fakeNoise, level, inputs)
      const both = labels && ops.concatRows(labels, labels)
      const logits = judge(ops, withLabels(parameters, both), ops.concatRows(real, fake))
      const [realLogits, fakeLogits] = [ops.rows(logits, 0, rows), ops.rows(logits, rows, rows)]
      const onReal = ops.scale(realLoss(ops, loss, realLogits, config.realTarget), 1 / globalRows)
      const onFake = ops.scale(fakeLoss(ops, loss, fakeLogits), 1 / globalRows)
      const right = Object.entries(rightRows(ops, loss, realLogits, fakeLogits, config.realTarget)).map(
        ([name, count]) => [name, ops.scale(count, 1 / globalRows)] as const,
      )
      const scalars = { realLoss: onReal, fakeLoss: onFake, ...Object.fromEntries(right) }
      const plain = { loss: ops.add(onReal, onFake), scalars }
      const terms: Tensor[] = []
      const own = withLabels(parameters, labels)
      if (penalty > 0 && draws.alpha)
        terms.push(ops.scale(gradientPenalty(ops, judge, own, [real, fake], draws.alpha), penalty / globalRows))
      if (r1 > 0) terms.push(ops.scale(r1Penalty(ops, judge, own, real), r1 / 2 / globalRows))
      if (terms.length === 0) return plain
      const all = terms.reduce((sum, term) => ops.add(sum, term))
      return { loss: ops.add(plain.loss, all), scalars: { ...plain.scalars, penalty: all } }
    },
  })

  const generatorPhase = (level: number): Phase => ({
    name: 'generator',
    updates: ['generator'],
    batch: null,
    prepare: null,
    draws: level > 0 ? { fakeNoise: normal(pixels) } : {},
    scalars: [],
    evaluate(ops, parameters, inputs) {
      const { noise, labels, draws, globalRows } = inputs
      const fake = seen(ops, generate(ops, parameters, noise, labels), draws.fakeNoise, level, inputs)
      const logits = judge(ops, withLabels(parameters, labels), fake)
      return { loss: ops.scale(generatorLoss(ops, loss, logits), 1 / globalRows), scalars: {} }
    },
  })

  const averaged = generator && spec.averages.includes('generator')
  const shown = averaged ? { ...generator, name: averageOf('generator') } : generator
  return {
    spec,
    phases(batches, { step, epochs }) {
      // as seldom as it is taken, so much heavier it weighs: Karras et al. 2020, appendix B
      const r1 = step % config.r1Every === 0 ? config.r1 * config.r1Every : 0
      const level = falling(config.instanceNoise, epochs, config.instanceNoiseEpochs)
      const updates = Array.from({ length: batches }, (_, batch) => discriminatorPhase(batch, level, r1))
      return [...updates, generatorPhase(level)]
    },
    generate(ops, parameters, noise, labels) {
      return greyLevels(ops, generate(ops, parameters, noise, labels, shown), spec)
    },
    reconstruct: null,
    divergence: null,
  }
}

/** From the interval of pixels that the networks make to 0…1. */
export function greyLevels(
  ops: Ops,
  image: Tensor,
  { pixelRange: [low, high] }: Pick<ModelSpec, 'pixelRange'>,
): Tensor {
  return ops.scale(ops.sub(image, ops.input(Float32Array.of(low), [1])), 1 / (high - low))
}

const normal = (size: number): Draw => ({ size, distribution: 'normal' })
