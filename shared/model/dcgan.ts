import type { WrittenModel } from './description.ts'

type Network = WrittenModel['networks'][number]

/**
 * A convolutional generator (after Radford et al. 2016): noise → a hidden layer (as Karras et al. 2019 map theirs) → an image of a quarter of the
 * height and width, 7·7·256 for MNIST → two transposed convolutions. Layer normalisation stands where they have batch normalisation.
 *
 * The hidden layer is an odd function, so that its outputs have no mean over the noise. With relu or leakyRelu they have one, which every weight
 * behind them can move; all samples became one image (docs/models.md).
 */
export function convolutionalGenerator(before: Network['layers']): Network {
  return {
    name: 'generator',
    input: 'latent',
    layers: [
      ...before,
      { kind: 'dense', name: 'map', units: 512, activation: 'tanh' },
      { kind: 'dense', name: 'dense0', units: 'height/4*width/4*256', shape: ['height/4', 'width/4', 256] },
      { kind: 'layerNorm', name: 'norm0', activation: 'relu' },
      { kind: 'conv2dTranspose', name: 'conv0', filters: 64, kernelSize: 4, strides: 2 },
      { kind: 'layerNorm', name: 'norm1', activation: 'relu' },
      { kind: 'conv2dTranspose', name: 'conv1', filters: 'channels', kernelSize: 4, strides: 2, activation: 'tanh' },
    ],
  }
}

/**
 * Two convolutions, and a hidden layer over all they see: without it a logit is a sum over places, which tells strokes from noise and no digit
 * from what is none. `before` it stands what else it reads.
 */
export function convolutionalDiscriminator(before: Network['layers']): Network {
  return {
    name: 'discriminator',
    input: 'image',
    layers: [
      { kind: 'conv2d', name: 'conv0', filters: 64, kernelSize: 4, strides: 2, activation: 'leakyRelu' },
      { kind: 'conv2d', name: 'conv1', filters: 128, kernelSize: 4, strides: 2, activation: 'leakyRelu' },
      ...before,
      { kind: 'dense', name: 'hidden', units: 512, activation: 'leakyRelu' },
      { kind: 'dense', name: 'dense0', units: 1 },
    ],
  }
}

/** One update of each; R1 in one step of sixteen (Mescheder et al. 2018, Karras et al. 2020), a moving average, rates that fall. */
const nonSaturating = {
  epochs: 16,
  latentSize: 64,
  discriminatorUpdates: 1,
  r1: 1,
  r1Every: 16,
  averageDecay: 0.999,
  learningRates: { generator: 5e-4, discriminator: 5e-4 },
  decayEpochs: 16,
  decay: 'cosine',
  beta1: 0.5,
} as const

export const dcgan = {
  name: 'dcgan',
  family: 'gan',
  pixelRange: [-1, 1],
  networks: [convolutionalGenerator([]), convolutionalDiscriminator([])],
  recipes: {
    default: nonSaturating,
    // Between two corners of a cube there is no noise that would make what lies between two digits: docs/models.md
    hinge: { ...nonSaturating, loss: 'hinge', latentSize: 32, noise: 'bernoulli' },
    // Gulrajani et al. 2017, algorithm 1, with their MNIST settings
    'wgan-gp': {
      epochs: 20,
      latentSize: 64,
      loss: 'wgan-gp',
      averageDecay: 0.999,
      learningRates: { generator: 1e-4, discriminator: 1e-4 },
      beta1: 0.5,
      beta2: 0.9,
    },
  },
} as const satisfies WrittenModel

/** The same, told which class to make: the label goes into both networks. */
export const conditionalDcgan = {
  ...dcgan,
  name: 'conditional-dcgan',
  networks: [
    convolutionalGenerator([{ kind: 'label', name: 'label' }]),
    convolutionalDiscriminator([{ kind: 'label', name: 'label' }]),
  ],
} as const satisfies WrittenModel
