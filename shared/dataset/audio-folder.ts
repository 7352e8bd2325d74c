import { usage } from '../core/errors.ts'
import { resampled } from '../sound/resample-sound.ts'
import { Spectrograms, soundRate } from '../sound/spectrogram.ts'
import { decodeWav, type Sound } from '../sound/wav.ts'
import { checkDatasetBytes, filesBelow, readDatasetFile, splitOff } from './folder-files.ts'
import type { ImageDataset, Split } from './image-dataset.ts'

/** A clip of a longer file whose peak is below this part of the file's is a pause, and left out. */
const quietest = 0.01

/**
 * Log-magnitude spectrograms [size, size, 1] from the WAV files of a folder: each file as loud as can be, at 8 kHz, cut into clips of
 * size · size / 2 samples. There are no labels.
 */
export function loadAudioFolder(folder: string, size: number): ImageDataset {
  const paths = filesBelow(folder, ['.wav'])
  if (paths.length < 2) throw usage(`--data-dir ${folder}: one sound; write a folder with two or more`)
  const spectrograms = new Spectrograms(size)
  const { train, test } = splitOff(paths)
  const made = { bytes: 0 }
  const load = (files: readonly string[]) => split(files, spectrograms, size, made)
  return { name: 'audio', height: size, width: size, channels: 1, train: load(train), test: load(test) }
}

function split(paths: readonly string[], spectrograms: Spectrograms, size: number, made: { bytes: number }): Split {
  const pictures: Uint8Array[] = []
  for (const path of paths) {
    const { samples } = resampled(loud(decodeWav(readDatasetFile(path), path), path), soundRate)
    for (const clip of clipsOf(samples, spectrograms.clipSamples)) {
      pictures.push(Uint8Array.from(spectrograms.pictureOf(clip), (value) => Math.round(255 * value)))
      made.bytes += size * size
      checkDatasetBytes(made.bytes, 'write a smaller --image-size, or a folder with less sound')
    }
  }
  if (pictures.length === 0) throw usage(`no sound in ${paths[0]} and the like; write a folder with longer ones`)
  const images = new Uint8Array(pictures.length * size * size)
  for (const [index, picture] of pictures.entries()) images.set(picture, index * size * size)
  return { count: pictures.length, images, labels: new Uint8Array(0) }
}

/** With its peak at full scale. */
function loud(sound: Sound, path: string): Sound {
  const peak = peakOf(sound.samples)
  if (peak === 0) throw usage(`${path} cannot be used (there is nothing but silence in it); take it out of the folder`)
  return { rate: sound.rate, samples: sound.samples.map((value) => value / peak) }
}

/** One after the other; the last one, with silence behind it, where it is at least half full; without those that are silent. */
function clipsOf(samples: Float32Array, length: number): Float32Array[] {
  const count = Math.max(1, Math.round(samples.length / length))
  return Array.from({ length: count }, (_, index) => {
    const clip = new Float32Array(length)
    clip.set(samples.subarray(index * length, (index + 1) * length))
    return clip
  }).filter((clip) => count === 1 || peakOf(clip) >= quietest)
}

function peakOf(samples: Float32Array): number {
  return samples.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0)
}
