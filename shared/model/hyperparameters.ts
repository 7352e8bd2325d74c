import { z } from 'zod'
import { limits } from '../core/limits.ts'

const positive = z.number().positive()
const notNegative = z.number().min(0)
const count = z.number().int().positive()

export const ganLosses = ['non-saturating', 'minimax', 'lsgan', 'wgan', 'wgan-gp', 'hinge'] as const
export const noises = ['normal', 'uniform', 'truncated', 'spherical', 'bernoulli'] as const

/** How a model is trained: what a recipe sets and a user may set otherwise. 0 turns off what can be off. */
export const hyperparameterShape = {
  optimizer: z.enum(['adam', 'rmsprop', 'sgd']),
  /** Rate of each network, by its name. */
  learningRates: z.record(z.string(), positive),
  beta1: z.number().min(0).lt(1),
  beta2: z.number().min(0).lt(1),
  /** Steps over which the rates rise linearly from 0. */
  warmupSteps: z.number().int().min(0),
  /** Epochs over which the learning rates fall to a twentieth, whatever the length of the run; 0: they stay. */
  decayEpochs: z.number().int().min(0),
  /** The way they fall. Cosine: Loshchilov & Hutter 2017, eq. 5, without restarts. */
  decay: z.enum(['linear', 'cosine']),
  /** Bounds of each element of the gradient, and of its Euclidean norm. */
  clipGradientValue: notNegative,
  clipGradientNorm: notNegative,
  /** Weight initialisation of the layers. */
  initializer: z.enum(['glorot', 'torch', 'normal']),
  /** Distribution of the latent vector (docs/models.md). */
  noise: z.enum(noises),
  latentSize: count.max(limits.maxLatentSize),
  /** Form of the losses (GAN). */
  loss: z.enum(ganLosses),
  /** Target for real images in the discriminator's loss: 1, or less for one-sided label smoothing. */
  realTarget: z.number().min(0.5).max(1),
  /** Discriminator updates of one step (GAN). */
  discriminatorUpdates: count.max(100),
  /** Weight λ of WGAN-GP's penalty; read where the loss is wgan-gp. */
  gradientPenalty: notNegative,
  /** Weight γ of the penalty R1. */
  r1: notNegative,
  /** Steps of which one has R1, so many times heavier (lazy regularization, Karras et al. 2020). */
  r1Every: count.max(1000),
  /** Bound of each weight of the critic; read where the loss is wgan. */
  weightClip: positive,
  /** Kernels of the discriminator divided by their spectral norm. */
  spectralNorm: z.boolean(),
  /** Standard deviation of Gaussian noise on what the discriminator sees, and the epochs over which it falls to 0; 0: it stays. */
  instanceNoise: notNegative,
  instanceNoiseEpochs: z.number().int().min(0),
  /** Images that the discriminator sees at once (PacGAN). */
  packing: count.max(8),
  /** Decay of a moving average of the generator, which samples are made with. */
  averageDecay: notNegative.lt(1),
  /** Weight of the KL divergence (VAE). */
  beta: notNegative,
  /** Epochs over which it rises linearly from 0. */
  klWarmupEpochs: z.number().int().min(0),
  /** Nats of each latent dimension that cost nothing. */
  freeBits: notNegative,
} as const

export const hyperparametersSchema = z.strictObject(hyperparameterShape)
export type Hyperparameters = z.infer<typeof hyperparametersSchema>

/** What a recipe does not say. */
export const defaultHyperparameters = {
  optimizer: 'adam',
  beta1: 0.9,
  beta2: 0.999,
  warmupSteps: 0,
  decayEpochs: 0,
  decay: 'linear',
  clipGradientValue: 0,
  clipGradientNorm: 0,
  initializer: 'glorot',
  noise: 'normal',
  latentSize: 32,
  loss: 'non-saturating',
  realTarget: 1,
  discriminatorUpdates: 5,
  gradientPenalty: 10,
  r1: 0,
  r1Every: 1,
  weightClip: 0.01,
  spectralNorm: false,
  instanceNoise: 0,
  instanceNoiseEpochs: 0,
  packing: 1,
  averageDecay: 0,
  beta: 1,
  klWarmupEpochs: 0,
  freeBits: 0,
} as const satisfies Omit<Hyperparameters, 'learningRates'>

/** A named set of hyperparameters of a model, with the passes over the data that they are meant for. */
export const recipeSchema = hyperparametersSchema.partial().extend({
  learningRates: hyperparameterShape.learningRates,
  epochs: count,
  batchSize: count.max(limits.maxBatchSize).optional(),
})
export type Recipe = z.infer<typeof recipeSchema>
