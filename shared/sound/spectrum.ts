import { FourierTransform } from './fourier.ts'

/**
 * Short-time Fourier transform of clips of one length, and its inverse. `size`, a power of two, is the number of frames and of frequencies:
 * windows of 2 · size samples (Hann), a quarter of a window apart, so that a clip of size · size / 2 samples has `size` frames. A
 * window is centred on its frame; beyond the ends of the clip there is silence.
 */
export class ShortTimeFourier {
  readonly size: number
  readonly clipSamples: number
  readonly #hop: number
  readonly #length: number
  readonly #margin: number
  readonly #window: Float64Array
  readonly #weights: Float64Array
  readonly #fourier: FourierTransform
  readonly #real: Float64Array
  readonly #imaginary: Float64Array

  constructor(size: number) {
    this.size = size
    this.#length = 2 * size
    this.#hop = size / 2
    this.clipSamples = size * this.#hop
    this.#margin = (this.#length - this.#hop) / 2
    this.#window = Float64Array.from(
      { length: this.#length },
      (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / this.#length),
    )
    this.#fourier = new FourierTransform(this.#length)
    this.#real = new Float64Array(this.#length)
    this.#imaginary = new Float64Array(this.#length)
    this.#weights = new Float64Array(this.clipSamples + 2 * this.#margin)
    for (let frame = 0; frame < size; frame++)
      for (const [at, value] of this.#window.entries())
        this.#weights[frame * this.#hop + at] = (this.#weights[frame * this.#hop + at] ?? 0) + value * value
  }

  /** [size frames, size + 1 frequencies, real and imaginary part]. A sine at full scale has the magnitude size / 2. */
  transform(clip: Float32Array): Float32Array {
    const { size } = this
    const spectrum = new Float32Array(size * (size + 1) * 2)
    for (let frame = 0; frame < size; frame++) {
      const first = frame * this.#hop - this.#margin
      for (const [at, weight] of this.#window.entries()) this.#real[at] = weight * (clip[first + at] ?? 0)
      this.#imaginary.fill(0)
      this.#fourier.transform(this.#real, this.#imaginary)
      const start = frame * (size + 1) * 2
      for (let at = 0; at <= size; at++) {
        spectrum[start + 2 * at] = this.#real[at] ?? 0
        spectrum[start + 2 * at + 1] = this.#imaginary[at] ?? 0
      }
    }
    return spectrum
  }

  /** The clip whose transform is nearest to `spectrum` (Griffin & Lim 1984, eq. 6): windows added up, divided by the sum of their squares. */
  inverse(spectrum: Float32Array): Float32Array {
    const { size } = this
    const sum = new Float64Array(this.#weights.length)
    for (let frame = 0; frame < size; frame++) {
      const start = frame * (size + 1) * 2
      // The other half of a real signal's spectrum is its conjugate; the transform of a spectrum's conjugate is the signal, times its length.
      for (let at = 0; at < this.#length; at++) {
        const from = start + 2 * Math.min(at, this.#length - at)
        this.#real[at] = spectrum[from] ?? 0
        this.#imaginary[at] = (at <= size ? -1 : 1) * (spectrum[from + 1] ?? 0)
      }
      this.#fourier.transform(this.#real, this.#imaginary)
      for (const [at, weight] of this.#window.entries())
        sum[frame * this.#hop + at] =
          (sum[frame * this.#hop + at] ?? 0) + (weight * (this.#real[at] ?? 0)) / this.#length
    }
    return Float32Array.from(
      { length: this.clipSamples },
      (_, at) => (sum[at + this.#margin] ?? 0) / Math.max(1e-9, this.#weights[at + this.#margin] ?? 0),
    )
  }
}
