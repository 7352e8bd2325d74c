import type { WrittenModel } from './description.ts'

const inner: [string, string, number] = ['height/16', 'width/16', 32]

/** A small VAE of large grey images with sides that 16 divides, such as the spectrograms of sounds: two strides of four each way. */
export const spectrogramVae = {
  name: 'spectrogram-vae',
  family: 'vae',
  pixelRange: [0, 1],
  networks: [
    {
      name: 'encoder',
      input: 'image',
      layers: [
        { kind: 'conv2d', name: 'conv0', filters: 16, kernelSize: 8, strides: 4, activation: 'relu' },
        { kind: 'conv2d', name: 'conv1', filters: 32, kernelSize: 8, strides: 4, activation: 'relu' },
        { kind: 'dense', name: 'dense0', units: 128, activation: 'relu' },
        { kind: 'dense', name: 'mean', units: 'latent', input: 'dense0' },
        { kind: 'dense', name: 'logVariance', units: 'latent', input: 'dense0' },
      ],
    },
    {
      name: 'decoder',
      input: 'latent',
      layers: [
        { kind: 'dense', name: 'dense0', units: 128, activation: 'relu' },
        { kind: 'dense', name: 'dense1', units: inner.join('*'), shape: inner, activation: 'relu' },
        { kind: 'conv2dTranspose', name: 'conv0', filters: 16, kernelSize: 8, strides: 4, activation: 'relu' },
        { kind: 'conv2dTranspose', name: 'logits', filters: 'channels', kernelSize: 8, strides: 4 },
      ],
    },
  ],
  recipes: {
    default: {
      epochs: 50,
      latentSize: 32,
      learningRates: { encoder: 1e-3, decoder: 1e-3 },
      initializer: 'torch',
    },
  },
} as const satisfies WrittenModel
