import { draws, randomStream } from '../core/random.ts'
import { ShortTimeFourier } from './spectrum.ts'

/** Samples a second of all clips. */
export const soundRate = 8000
/** Decibels below a sine at full scale that are 0 in a picture; that sine is 1. */
const range = 80
/** Steps of `soundOf`, and what it carries over from one to the next. */
const iterations = 60
const momentum = 0.99

/**
 * Clips as pictures and back: [size, size], the highest frequency in the first row, time from left to right. A value is the logarithm of a
 * magnitude, 80 dB in 0…1. As in SpecGAN (Donahue et al. 2019, section 3.1) the frequency at half the rate is left out, and phases are.
 */
export class Spectrograms {
  readonly #fourier: ShortTimeFourier

  constructor(size: number) {
    this.#fourier = new ShortTimeFourier(size)
  }

  /** Samples of a clip, at `soundRate`. */
  get clipSamples(): number {
    return this.#fourier.clipSamples
  }

  /** Values [size · size] in 0…1 of a clip. */
  pictureOf(clip: Float32Array): Float32Array {
    const { size } = this.#fourier
    const magnitudes = magnitudesOf(this.#fourier.transform(clip))
    return Float32Array.from({ length: size * size }, (_, at) => {
      const magnitude = (magnitudes[this.#place(at)] ?? 0) / (size / 2)
      return Math.min(1, Math.max(0, 1 + (20 * Math.log10(magnitude + 1e-12)) / range))
    })
  }

  /**
   * A clip with about this picture. Phases are those of a signal whose magnitudes come ever nearer, from random ones: Griffin & Lim 1984,
   * section IV, in the faster form of Perraudin et al. 2013, algorithm 2.
   */
  soundOf(picture: Float32Array, seed: number): Float32Array {
    const wanted = this.#magnitudes(picture)
    const next = draws(seed, randomStream.soundPhases, 0)
    let previous: Float32Array = new Float32Array(2 * wanted.length)
    const spectrum = new Float32Array(2 * wanted.length)
    for (const [at, magnitude] of wanted.entries()) {
      const angle = (2 * Math.PI * next()) / 2 ** 32
      spectrum[2 * at] = magnitude * Math.cos(angle)
      spectrum[2 * at + 1] = magnitude * Math.sin(angle)
    }
    let clip = this.#fourier.inverse(spectrum)
    for (let iteration = 0; iteration < iterations; iteration++) {
      const found = this.#fourier.transform(clip)
      for (const [at, value] of found.entries()) spectrum[at] = value + momentum * (value - (previous[at] ?? 0))
      previous = found
      withMagnitudes(spectrum, wanted)
      clip = this.#fourier.inverse(spectrum)
    }
    return clip
  }

  /** ‖magnitudes of the clip − those of the picture‖ / ‖those of the picture‖: spectral convergence (Sturmel & Daudet 2011, eq. 13). */
  convergence(picture: Float32Array, clip: Float32Array): number {
    const wanted = this.#magnitudes(picture)
    const found = magnitudesOf(this.#fourier.transform(clip))
    const square = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0)
    return Math.sqrt(square(wanted.map((value, at) => value - (found[at] ?? 0))) / square(wanted))
  }

  /** [frames, size + 1]; what is black is silence. */
  #magnitudes(picture: Float32Array): Float32Array {
    const { size } = this.#fourier
    const magnitudes = new Float32Array(size * (size + 1))
    for (const [at, value] of picture.entries())
      if (value > 0) magnitudes[this.#place(at)] = (size / 2) * 10 ** ((Math.min(1, value) - 1) * (range / 20))
    return magnitudes
  }

  /** Where a pixel is in [frames, size + 1]. */
  #place(at: number): number {
    const { size } = this.#fourier
    return (at % size) * (size + 1) + size - 1 - Math.floor(at / size)
  }
}

function magnitudesOf(spectrum: Float32Array): Float32Array {
  return Float32Array.from({ length: spectrum.length / 2 }, (_, at) =>
    Math.hypot(spectrum[2 * at] ?? 0, spectrum[2 * at + 1] ?? 0),
  )
}

/** Gives each number of a spectrum this magnitude and leaves its phase. */
function withMagnitudes(spectrum: Float32Array, magnitudes: Float32Array): void {
  for (const [at, magnitude] of magnitudes.entries()) {
    const scale = magnitude / Math.max(1e-12, Math.hypot(spectrum[2 * at] ?? 0, spectrum[2 * at + 1] ?? 0))
    spectrum[2 * at] = (spectrum[2 * at] ?? 0) * scale
    spectrum[2 * at + 1] = (spectrum[2 * at + 1] ?? 0) * scale
  }
}
