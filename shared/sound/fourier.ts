/** Fast Fourier transform of a length that is a power of two (Cooley & Tukey 1965), in place. */
export class FourierTransform {
  readonly #length: number
  readonly #cos: Float64Array
  readonly #sin: Float64Array
  readonly #reversed: Uint32Array

  constructor(length: number) {
    this.#length = length
    const angles = Float64Array.from({ length: length / 2 }, (_, at) => (-2 * Math.PI * at) / length)
    this.#cos = angles.map(Math.cos)
    this.#sin = angles.map(Math.sin)
    this.#reversed = new Uint32Array(length)
    for (let at = 1; at < length; at++)
      this.#reversed[at] = ((this.#reversed[at >> 1] ?? 0) >> 1) | (at % 2 === 1 ? length >> 1 : 0)
  }

  /** X[k] = Σ x[n] exp(−2πi k n / length). */
  transform(real: Float64Array, imaginary: Float64Array): void {
    const length = this.#length
    for (const [at, other] of this.#reversed.entries()) {
      if (at >= other) continue
      swap(real, at, other)
      swap(imaginary, at, other)
    }
    // plain loops: this is where the time of finding phases goes
    for (let half = 1; half < length; half *= 2)
      for (let start = 0; start < length; start += 2 * half)
        for (let at = start, turn = 0; at < start + half; at++, turn += length / (2 * half)) {
          const cos = this.#cos[turn] as number
          const sin = this.#sin[turn] as number
          const re = real[at + half] as number
          const im = imaginary[at + half] as number
          const upRe = re * cos - im * sin
          const upIm = re * sin + im * cos
          const lowRe = real[at] as number
          const lowIm = imaginary[at] as number
          real[at] = lowRe + upRe
          imaginary[at] = lowIm + upIm
          real[at + half] = lowRe - upRe
          imaginary[at + half] = lowIm - upIm
        }
  }
}

function swap(values: Float64Array, a: number, b: number): void {
  const kept = values[a] as number
  values[a] = values[b] as number
  values[b] = kept
}
