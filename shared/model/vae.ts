import type { WrittenModel } from './description.ts'

/** The article's dense VAE: pixels-256-128-(latent, latent)-128-256-pixels, Bernoulli likelihood on logits. */
export const vae = {
  name: 'vae',
  family: 'vae',
  pixelRange: [0, 1],
  networks: [
    {
      name: 'encoder',
      input: 'image',
      layers: [
        { kind: 'dense', name: 'dense0', units: 256, activation: 'relu' },
        { kind: 'dense', name: 'dense1', units: 128, activation: 'relu' },
        { kind: 'dense', name: 'mean', units: 'latent', input: 'dense1' },
        { kind: 'dense', name: 'logVariance', units: 'latent', input: 'dense1' },
      ],
    },
    {
      name: 'decoder',
      input: 'latent',
      layers: [
        { kind: 'dense', name: 'dense0', units: 128, activation: 'relu' },
        { kind: 'dense', name: 'dense1', units: 256, activation: 'relu' },
        { kind: 'dense', name: 'logits', units: 'pixels' },
      ],
    },
  ],
  recipes: {
    default: {
      epochs: 15,
      latentSize: 32,
      learningRates: { encoder: 1e-3, decoder: 1e-3 },
      initializer: 'torch',
    },
  },
} as const satisfies WrittenModel
