import { philoxBlock, randomStream, seedWords } from '../../shared/core/random.ts'

/** Whether a sample is seen mirrored: half of them, by (seed, epoch, sample) and nothing else. */
export function isFlipped(seed: number, epoch: number, sample: number): boolean {
  return (philoxBlock(seedWords(seed), [sample, randomStream.flips, epoch, 0])[0] & 1) === 1
}

/** Mirrors an image [height, width, channels] left to right, in place. */
export function mirror(image: Uint8Array, width: number, channels: number): void {
  const rowBytes = width * channels
  for (let start = 0; start < image.length; start += rowBytes)
    for (let left = 0, right = width - 1; left < right; left++, right--)
      for (let channel = 0; channel < channels; channel++) {
        const a = start + left * channels + channel
        const b = start + right * channels + channel
        const kept = image[a] ?? 0
        image[a] = image[b] ?? 0
        image[b] = kept
      }
}
