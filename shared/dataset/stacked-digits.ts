import { permutation, randomStream } from '../core/random.ts'
import type { ImageDataset, Split } from './image-dataset.ts'

const channels = 3

/**
 * Three digits as the channels of an image: 1,000 classes of ten digits each, to count modes by (Metz et al. 2017, section 3.3.1).
 * Channel c of image i is the digit at place i of a permutation of all digits, which follows from (seed, c): each digit is used once
 * in each channel. A thousand classes are no byte: there are labels of the channels alone.
 */
export function stackedDigits(digits: ImageDataset, seed: number): ImageDataset {
  const { height, width, train, test } = digits
  return {
    ...{ name: 'stacked-mnist', height, width, channels },
    train: stacked(train, seed, 0),
    test: stacked(test, seed, 1),
  }
}

function stacked({ count, images, labels }: Split, seed: number, number: number): Split {
  const pixels = images.length / count
  const result = new Uint8Array(images.length * channels)
  const channelLabels = new Uint8Array(labels.length * channels)
  for (let channel = 0; channel < channels; channel++) {
    const order = permutation(seed, number * channels + channel, count, randomStream.stacking)
    for (const [index, digit] of order.entries()) {
      channelLabels[index * channels + channel] = labels[digit] ?? 0
      for (let pixel = 0; pixel < pixels; pixel++)
        result[(index * pixels + pixel) * channels + channel] = images[digit * pixels + pixel] ?? 0
    }
  }
  return { count, images: result, labels: new Uint8Array(0), channelLabels }
}
