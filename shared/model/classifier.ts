import type { WrittenModel } from './description.ts'

/**
 * A network in the manner of LeNet-5 (LeCun et al. 1998, figure 2) with today's parts: 5 × 5 convolutions to 16 and 32
 * channels, each with relu and the maximum of 2 × 2 pixels behind it, then 64 features and 10 logits. `evaluate` measures by
 * its features and probabilities (docs/evaluation.md).
 */
export const classifier = {
  name: 'classifier',
  family: 'classifier',
  pixelRange: [0, 1],
  networks: [
    {
      name: 'classifier',
      input: 'image',
      layers: [
        { kind: 'conv2d', name: 'conv0', filters: 16, kernelSize: 5, activation: 'relu' },
        { kind: 'maxPool', name: 'pool0', size: 2 },
        { kind: 'conv2d', name: 'conv1', filters: 32, kernelSize: 5, activation: 'relu' },
        { kind: 'maxPool', name: 'pool1', size: 2 },
        { kind: 'dense', name: 'features', units: 64, activation: 'relu' },
        { kind: 'dense', name: 'logits', units: 10 },
      ],
    },
  ],
  recipes: {
    default: { epochs: 8, learningRates: { classifier: 1e-3 }, decayEpochs: 8, initializer: 'torch' },
  },
} as const satisfies WrittenModel
