import type { Hyperparameters } from '../../shared/model/hyperparameters.ts'
import type { Ops, Parameters, Tensor } from '../backend/backend.ts'

type Loss = Hyperparameters['loss']

/**
 * Σ over the real rows of the discriminator's loss; D is its logit, t the target for real images.
 * Goodfellow et al. 2014, eq. 1, D = sigmoid(logit): −[t log D + (1 − t) log(1 − D)] = softplus(logit) − t · logit; t < 1 is one-sided
 * label smoothing (Salimans et al. 2016, section 3.4). LSGAN (Mao et al. 2017, eq. 9): ½ (D − t)². WGAN (Arjovsky et al. 2017,
 * algorithm 1): −D. Hinge (Lim & Ye 2017; Miyato et al. 2018, eq. 16): max(0, 1 − D).
 */
export function realLoss(ops: Ops, loss: Loss, logits: Tensor, target: number): Tensor {
  switch (loss) {
    case 'non-saturating':
    case 'minimax':
      return ops.sum(ops.sub(ops.softplus(logits), ops.scale(logits, target)))
    case 'lsgan':
      return ops.scale(ops.sum(ops.square(ops.sub(logits, constant(ops, target)))), 0.5)
    case 'wgan':
    case 'wgan-gp':
      return ops.neg(ops.sum(logits))
    case 'hinge':
      return ops.sum(ops.relu(ops.sub(constant(ops, 1), logits)))
    default:
      return loss satisfies never
  }
}

/** Σ over the fake rows: softplus(logit); ½ D²; D; max(0, 1 + D). */
export function fakeLoss(ops: Ops, loss: Loss, logits: Tensor): Tensor {
  switch (loss) {
    case 'non-saturating':
    case 'minimax':
      return ops.sum(ops.softplus(logits))
    case 'lsgan':
      return ops.scale(ops.sum(ops.square(logits)), 0.5)
    case 'wgan':
    case 'wgan-gp':
      return ops.sum(logits)
    case 'hinge':
      return ops.sum(ops.relu(ops.add(constant(ops, 1), logits)))
    default:
      return loss satisfies never
  }
}

/**
 * Σ over the generator's rows. Goodfellow et al. 2014: minimax, eq. 1: log(1 − D) = −softplus(logit); non-saturating, section 3:
 * −log D = softplus(−logit). LSGAN: ½ (D − 1)². WGAN and hinge: −D.
 */
export function generatorLoss(ops: Ops, loss: Loss, logits: Tensor): Tensor {
  switch (loss) {
    case 'minimax':
      return ops.neg(ops.sum(ops.softplus(logits)))
    case 'non-saturating':
      return ops.sum(ops.softplus(ops.neg(logits)))
    case 'lsgan':
      return ops.scale(ops.sum(ops.square(ops.sub(logits, constant(ops, 1)))), 0.5)
    case 'wgan':
    case 'wgan-gp':
    case 'hinge':
      return ops.neg(ops.sum(logits))
    default:
      return loss satisfies never
  }
}

/**
 * How many rows the discriminator is right about, from its logits [rows, 1], to be divided by the rows: the real ones above its threshold and
 * the fakes below, 0 for a probability or a hinge, halfway between the targets for LSGAN. A critic (WGAN) has no threshold: for it, the
 * pairs whose real row it puts above the fake one, an estimate of the area under the ROC curve.
 */
export function rightRows(
  ops: Ops,
  loss: Loss,
  real: Tensor,
  fake: Tensor,
  target: number,
): Readonly<Record<string, Tensor>> {
  const positive = (x: Tensor) => ops.sum(ops.sigmoid(ops.scale(x, 1e6)))
  if (loss === 'wgan' || loss === 'wgan-gp') return { pairAccuracy: positive(ops.sub(real, fake)) }
  const threshold = constant(ops, loss === 'lsgan' ? target / 2 : 0)
  return { realAccuracy: positive(ops.sub(real, threshold)), fakeAccuracy: positive(ops.sub(threshold, fake)) }
}

export const accuracyNames = (loss: Loss): string[] =>
  loss === 'wgan' || loss === 'wgan-gp' ? ['pairAccuracy'] : ['realAccuracy', 'fakeAccuracy']

/** The discriminator as a function of what it sees, in the operations that it is given. */
export type Discriminator = (ops: Ops, parameters: Parameters, x: Tensor) => Tensor

/**
 * WGAN-GP (Gulrajani et al. 2017, eq. 3): Σ (|∇D(x̂)| − 1)², x̂ = real + α (fake − real), one α for each row. The root has 1e-4
 * inside, as compare_gan has it: at 0 it has a slope.
 */
export function gradientPenalty(
  ops: Ops,
  discriminator: Discriminator,
  parameters: Parameters,
  [real, fake]: readonly [Tensor, Tensor],
  alpha: Tensor,
): Tensor {
  const between = ops.add(real, ops.mul(ops.sub(fake, real), alpha))
  const squares = squaredSlopes(ops, discriminator, parameters, between)
  const slopes = ops.sqrt(ops.add(squares, constant(ops, 1e-4)))
  return ops.sum(ops.square(ops.sub(slopes, constant(ops, 1))))
}

/** R1 (Mescheder et al. 2018, eq. 9, without its γ / 2): Σ |∇D(x)|² at real images. */
export function r1Penalty(ops: Ops, discriminator: Discriminator, parameters: Parameters, real: Tensor): Tensor {
  return ops.sum(squaredSlopes(ops, discriminator, parameters, real))
}

/** |∇D(x)|² of each row, [rows, 1]. */
function squaredSlopes(ops: Ops, discriminator: Discriminator, parameters: Parameters, x: Tensor): Tensor {
  return ops.sumTo(ops.square(ops.inputGradient(parameters, x, discriminator)), [x.shape[0] ?? 0, 1])
}

function constant(ops: Ops, value: number): Tensor {
  return ops.input(Float32Array.of(value), [1])
}
