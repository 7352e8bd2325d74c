import type { WrittenModel } from './description.ts'

type Layers = WrittenModel['networks'][number]['layers']

const image: [string, string, number] = ['height/4', 'width/4', 64]

/** Networks of a convolutional VAE; `label` stands in front of the dense layers of both. */
function networks(label: Layers): WrittenModel['networks'] {
  return [
    {
      name: 'encoder',
      input: 'image',
      layers: [
        { kind: 'conv2d', name: 'conv0', filters: 32, kernelSize: 4, strides: 2, activation: 'relu' },
        { kind: 'conv2d', name: 'conv1', filters: 64, kernelSize: 4, strides: 2, activation: 'relu' },
        ...label,
        { kind: 'dense', name: 'dense0', units: 128, activation: 'relu' },
        { kind: 'dense', name: 'mean', units: 'latent', input: 'dense0' },
        { kind: 'dense', name: 'logVariance', units: 'latent', input: 'dense0' },
      ],
    },
    {
      name: 'decoder',
      input: 'latent',
      layers: [
        ...label,
        { kind: 'dense', name: 'dense0', units: 128, activation: 'relu' },
        { kind: 'dense', name: 'dense1', units: image.join('*'), shape: image, activation: 'relu' },
        { kind: 'conv2dTranspose', name: 'conv0', filters: 32, kernelSize: 4, strides: 2, activation: 'relu' },
        { kind: 'conv2dTranspose', name: 'logits', filters: 'channels', kernelSize: 4, strides: 2 },
      ],
    },
  ]
}

const recipe = { latentSize: 32, learningRates: { encoder: 1e-3, decoder: 1e-3 }, initializer: 'torch' } as const

export const convolutionalVae: WrittenModel = {
  name: 'conv-vae',
  family: 'vae',
  pixelRange: [0, 1],
  networks: networks([]),
  recipes: {
    default: { ...recipe, epochs: 15 },
    /** Rates that fall, and a KL that comes in slowly: for runs of 50 epochs. */
    long: { ...recipe, epochs: 50, decayEpochs: 50, decay: 'cosine', klWarmupEpochs: 5 },
  },
}

/** The same with a prior that is learned: eight affine couplings between normal noise and the codes. */
export const flowVae: WrittenModel = {
  ...convolutionalVae,
  name: 'flow-vae',
  networks: [
    ...networks([]),
    {
      name: 'prior',
      input: 'latent',
      layers: Array.from({ length: 8 }, (_, index) => ({ kind: 'coupling', name: `coupling${index}`, units: 128 })),
    },
  ],
  recipes: Object.fromEntries(
    Object.entries(convolutionalVae.recipes).map(([name, own]) => [
      name,
      { ...own, learningRates: { ...own.learningRates, prior: 1e-3 } },
    ]),
  ),
}

/** The same, told the class: of an image that it encodes, and of one that it makes. */
export const conditionalVae: WrittenModel = {
  ...convolutionalVae,
  name: 'conditional-vae',
  networks: networks([{ kind: 'label', name: 'label' }]),
}
