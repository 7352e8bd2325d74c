import { parseDescription } from '../../shared/model/description.ts'
import { registry } from '../../shared/model/registry.ts'

/** A small GAN with every kind of layer, and without kinks, so that differences of its penalties' gradients mean something. */
export const smoothGan = parseDescription(
  {
    name: 'smooth-gan',
    family: 'gan',
    pixelRange: [-1, 1],
    networks: [
      {
        name: 'generator',
        input: 'latent',
        layers: [
          { kind: 'dense', name: 'dense0', units: 'height/2*width/2*6', shape: ['height/2', 'width/2', 6] },
          { kind: 'layerNorm', name: 'norm0', activation: 'tanh' },
          {
            kind: 'conv2dTranspose',
            name: 'conv0',
            filters: 'channels',
            kernelSize: 4,
            strides: 2,
            activation: 'tanh',
          },
        ],
      },
      {
        name: 'discriminator',
        input: 'image',
        layers: [
          { kind: 'conv2d', name: 'conv0', filters: 5, kernelSize: 3, strides: 2, activation: 'tanh' },
          { kind: 'layerNorm', name: 'norm0', activation: 'sigmoid' },
          { kind: 'dense', name: 'dense0', units: 7, activation: 'tanh' },
          { kind: 'dense', name: 'dense1', units: 1 },
        ],
      },
    ],
    recipes: { default: { epochs: 1, latentSize: 5, learningRates: { generator: 1e-3, discriminator: 1e-3 } } },
  },
  'smoothGan',
)

/** A small conditional VAE of images. */
export const imageVae = parseDescription(
  {
    name: 'image-vae',
    family: 'vae',
    pixelRange: [0, 1],
    networks: [
      {
        name: 'encoder',
        input: 'image',
        layers: [
          { kind: 'conv2d', name: 'conv0', filters: 4, kernelSize: 3, strides: 2, activation: 'leakyRelu' },
          { kind: 'label', name: 'label' },
          { kind: 'dense', name: 'mean', units: 'latent', input: 'label' },
          { kind: 'dense', name: 'logVariance', units: 'latent', input: 'label' },
        ],
      },
      {
        name: 'decoder',
        input: 'latent',
        layers: [
          { kind: 'label', name: 'label' },
          {
            kind: 'dense',
            name: 'dense0',
            units: 'height/2*width/2*4',
            shape: ['height/2', 'width/2', 4],
            activation: 'relu',
          },
          { kind: 'conv2dTranspose', name: 'logits', filters: 'channels', kernelSize: 3, strides: 2 },
        ],
      },
    ],
    recipes: { default: { epochs: 1, latentSize: 3, learningRates: { encoder: 1e-3, decoder: 1e-3 } } },
  },
  'imageVae',
)

/** A small VAE with a prior that is learned, of an odd number of values. */
export const priorVae = parseDescription(
  {
    name: 'prior-vae',
    family: 'vae',
    pixelRange: [0, 1],
    networks: [
      {
        name: 'encoder',
        input: 'image',
        layers: [
          { kind: 'dense', name: 'dense0', units: 6, activation: 'tanh' },
          { kind: 'dense', name: 'mean', units: 'latent', input: 'dense0' },
          { kind: 'dense', name: 'logVariance', units: 'latent', input: 'dense0' },
        ],
      },
      { name: 'decoder', input: 'latent', layers: [{ kind: 'dense', name: 'logits', units: 'pixels' }] },
      {
        name: 'prior',
        input: 'latent',
        layers: [0, 1, 2].map((index) => ({ kind: 'coupling', name: `coupling${index}`, units: 8 })),
      },
    ],
    recipes: {
      default: { epochs: 1, latentSize: 3, learningRates: { encoder: 1e-3, decoder: 1e-3, prior: 1e-3 } },
    },
  },
  'priorVae',
)

/** The registry's GAN, with a small generator. */
export const denseGan = parseDescription(
  {
    ...registry.gan,
    networks: registry.gan?.networks.map((network) => ({
      ...network,
      layers: network.layers.map((layer) =>
        layer.kind === 'dense' && typeof layer.units === 'number' && layer.units > 1 ? { ...layer, units: 12 } : layer,
      ),
    })),
  },
  'denseGan',
)
