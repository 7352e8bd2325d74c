import { permutation, philoxBlock, randomStream, seedWords } from '../core/random.ts'
import type { ImageDataset, Split } from './image-dataset.ts'

/** Frames of a clip: they are its channels. */
export const frames = 8
const clips = { train: 20_000, test: 2000 }

/**
 * Short films of a digit at half its size that moves straight on and bounces off the edges (after Srivastava et al. 2015, section 4.1):
 * [height, width, frames]. Digit, place, direction and speed of a clip follow from (seed, clip). The label is the digit's.
 */
export function movingDigits(digits: ImageDataset, seed: number): ImageDataset {
  const { height, width } = digits
  const split = (from: Split, number: number, most: number) => moving(from, height, width, seed, number, most)
  return {
    ...{ name: 'moving-mnist', height, width, channels: frames },
    train: split(digits.train, 0, clips.train),
    test: split(digits.test, 1, clips.test),
  }
}

function moving(digits: Split, height: number, width: number, seed: number, number: number, most: number): Split {
  const count = Math.min(most, digits.count)
  const order = permutation(seed, number, digits.count, randomStream.motion)
  const size = { height: height >> 1, width: width >> 1 }
  const images = new Uint8Array(count * height * width * frames)
  for (let clip = 0; clip < count; clip++) {
    const small = halved(digits.images, (order[clip] ?? 0) * height * width, width, size)
    const places = path(seed, number, clip, height - size.height, width - size.width)
    for (const [frame, { top, left }] of places.entries())
      for (const [index, value] of small.entries()) {
        const y = top + Math.floor(index / size.width)
        const x = left + (index % size.width)
        images[((clip * height + y) * width + x) * frames + frame] = value
      }
  }
  return {
    count,
    images,
    labels: Uint8Array.from({ length: count }, (_, clip) => digits.labels[order[clip] ?? 0] ?? 0),
  }
}

/** Means of two by two pixels. */
function halved(images: Uint8Array, start: number, width: number, size: { height: number; width: number }): Uint8Array {
  const small = new Uint8Array(size.height * size.width)
  for (const index of small.keys()) {
    const at = start + 2 * Math.floor(index / size.width) * width + 2 * (index % size.width)
    const sum = [at, at + 1, at + width, at + width + 1].reduce((total, pixel) => total + (images[pixel] ?? 0), 0)
    small[index] = Math.round(sum / 4)
  }
  return small
}

/** Upper left corners, frame by frame; one to three pixels on. */
function path(seed: number, number: number, clip: number, bottom: number, right: number) {
  const [y, x, direction, speed] = philoxBlock(seedWords(seed), [clip, randomStream.motion, number, 1]).map(
    (word) => word / 2 ** 32,
  ) as [number, number, number, number]
  const angle = 2 * Math.PI * direction
  const step = 1 + 2 * speed
  return Array.from({ length: frames }, (_, frame) => ({
    top: Math.round(bounced(y * bottom + frame * step * Math.sin(angle), bottom)),
    left: Math.round(bounced(x * right + frame * step * Math.cos(angle), right)),
  }))
}

/** Where a point on 0…end is that would have gone on to `place` without the walls. */
function bounced(place: number, end: number): number {
  if (end === 0) return 0
  const within = ((place % (2 * end)) + 2 * end) % (2 * end)
  return within > end ? 2 * end - within : within
}
