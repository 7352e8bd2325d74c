import type { WrittenModel } from './description.ts'

/** One update of each, R1 (Mescheder et al. 2018), rates that stay, a moving average in place of their fall: docs/models.md. */
const penalized = (rate: number) => ({
  epochs: 32,
  latentSize: 100,
  discriminatorUpdates: 1,
  r1: 4,
  learningRates: { generator: rate, discriminator: rate },
  beta1: 0.5,
  averageDecay: 0.9995,
})

/** The article's dense GAN: noise 100 → 7·7·256 relu → pixels tanh; pixels → 256 → 256 → 1 logit. Recipes: docs/models.md. */
export const gan = {
  name: 'gan',
  family: 'gan',
  pixelRange: [-1, 1],
  networks: [
    {
      name: 'generator',
      input: 'latent',
      layers: [
        { kind: 'dense', name: 'dense0', units: 7 * 7 * 256, activation: 'relu' },
        { kind: 'dense', name: 'dense1', units: 'pixels', activation: 'tanh' },
      ],
    },
    {
      name: 'discriminator',
      input: 'image',
      layers: [
        { kind: 'dense', name: 'dense0', units: 256, activation: 'relu' },
        { kind: 'dense', name: 'dense1', units: 256, activation: 'relu' },
        { kind: 'dense', name: 'dense2', units: 1 },
      ],
    },
  ],
  recipes: {
    default: {
      epochs: 30,
      latentSize: 100,
      learningRates: { generator: 8e-4, discriminator: 1.6e-3 },
      decayEpochs: 30,
      beta1: 0.5,
    },
    'non-saturating': penalized(1.6e-3),
    article: {
      epochs: 30,
      latentSize: 100,
      learningRates: { generator: 2e-4, discriminator: 2e-4 },
      beta1: 0.5,
    },
    lsgan: { ...penalized(8e-4), loss: 'lsgan', epochs: 44 },
    // RMSprop as in Arjovsky et al. 2017, algorithm 1, at four times their rates, which fall, and with two updates of the critic for their five
    wgan: {
      epochs: 10,
      latentSize: 100,
      loss: 'wgan',
      optimizer: 'rmsprop',
      discriminatorUpdates: 2,
      learningRates: { generator: 2e-4, discriminator: 2e-4 },
      decayEpochs: 10,
      decay: 'cosine',
      averageDecay: 0.999,
    },
    // Gulrajani et al. 2017, algorithm 1, at eight times their rates and with two updates of the critic for their five
    'wgan-gp': {
      epochs: 24,
      latentSize: 100,
      loss: 'wgan-gp',
      discriminatorUpdates: 2,
      learningRates: { generator: 8e-4, discriminator: 8e-4 },
      beta1: 0.5,
      beta2: 0.9,
      averageDecay: 0.9995,
    },
    hinge: { ...penalized(1.6e-3), loss: 'hinge', epochs: 48 },
  },
} as const satisfies WrittenModel
