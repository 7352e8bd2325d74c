/** Steps of a loss that are looked at together, and how often. */
export const oscillationWindow = 256
export const oscillationEvery = 64

/** Slower waves than four in a window are not told from a trend. */
const slowest = 4

/**
 * How much of a series' variation is one wave: the power at its strongest frequency, by that at all of them, and its period in steps.
 * The line of best fit is taken off and a Hann window laid over it, so that a wave is three neighbours of the periodogram (Harris 1978); white noise
 * has a share of about 0.1, a pure wave 1.
 */
export function dominantWave(series: readonly number[]): { share: number; period: number } {
  const power = periodogram(windowed(detrended(series)))
  const total = power.reduce((sum, value) => sum + value, 0)
  if (!(total > 0)) return { share: 0, period: 0 }
  let best = { share: 0, period: 0 }
  for (let frequency = slowest; frequency < power.length - 1; frequency++) {
    const peak = [frequency - 1, frequency, frequency + 1].reduce((sum, at) => sum + (power[at] ?? 0), 0)
    const isTop = (power[frequency] ?? 0) >= Math.max(power[frequency - 1] ?? 0, power[frequency + 1] ?? 0)
    if (isTop && peak / total > best.share) best = { share: peak / total, period: series.length / frequency }
  }
  return best
}

function detrended(series: readonly number[]): number[] {
  const middle = (series.length - 1) / 2
  const mean = series.reduce((sum, value) => sum + value, 0) / series.length
  const covariance = series.reduce((sum, value, at) => sum + (at - middle) * (value - mean), 0)
  const slope = covariance / series.reduce((sum, _, at) => sum + (at - middle) ** 2, 0)
  return series.map((value, at) => value - mean - slope * (at - middle))
}

function windowed(series: readonly number[]): number[] {
  return series.map((value, at) => value * (0.5 - 0.5 * Math.cos((2 * Math.PI * at) / series.length)))
}

/** |DFT|² at 0 … half of the series; a few hundred values need no fast transform. The mean counts as nothing. */
function periodogram(series: readonly number[]): number[] {
  const size = series.length
  const turn = Array.from({ length: size }, (_, at) => (2 * Math.PI * at) / size)
  const [cosines, sines] = [turn.map(Math.cos), turn.map(Math.sin)]
  return Array.from({ length: Math.floor(size / 2) + 1 }, (_, frequency) => {
    if (frequency === 0) return 0
    let [real, imaginary] = [0, 0]
    for (const [at, value] of series.entries()) {
      const angle = (frequency * at) % size
      real += value * (cosines[angle] ?? 0)
      imaginary -= value * (sines[angle] ?? 0)
    }
    return real * real + imaginary * imaginary
  })
}
