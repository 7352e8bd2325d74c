import type { ImageShape } from '../shared/core/image-grid.ts'
import { limits } from '../shared/core/limits.ts'
import { Spectrograms, soundRate } from '../shared/sound/spectrogram.ts'
import { encodeWav } from '../shared/sound/wav.ts'

/**
 * Turns spectrograms [count, size, size, 1] in 0…1 into WAV files beside `out`, the first `limits.generatedSounds` of them: NAME-000.wav.
 * What to tell about it.
 */
export function writeSounds(
  out: string,
  pictures: Float32Array,
  { height: size }: ImageShape,
  seed: number,
  write: (path: string, bytes: Uint8Array) => void,
): string {
  const spectrograms = new Spectrograms(size)
  const count = Math.min(limits.generatedSounds, pictures.length / size ** 2)
  const path = (index: number) => out.replace(/\.\w+$/, `-${String(index).padStart(3, '0')}.wav`)
  for (let index = 0; index < count; index++) {
    const sound = spectrograms.soundOf(pictures.subarray(index * size ** 2, (index + 1) * size ** 2), seed)
    write(path(index), encodeWav({ rate: soundRate, samples: sound }))
  }
  return `, sounds in ${path(0)} to ${path(count - 1)}`
}
