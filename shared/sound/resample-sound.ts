import type { Sound } from './wav.ts'

/** Zero crossings of the sinc to each side: 16 keep what is above the new band 60 dB down, a little below its edge. */
const crossings = 16

/**
 * The same sound at another rate: interpolation by a sinc under a Hann window, whose band is that of the lower rate (Smith & Gossett
 * 1984). There is silence before and after it.
 */
export function resampled({ rate, samples }: Sound, wanted: number): Sound {
  if (rate === wanted) return { rate, samples }
  const divisor = greatestDivisor(rate, wanted)
  const [up, down] = [wanted / divisor, rate / divisor] // place i of the result is place i · down / up of the source
  const band = Math.min(1, up / down)
  const reach = crossings / band
  const phases = new Map<number, Float32Array>() // by the part of a place, in 1/up
  const result = new Float32Array(Math.floor((samples.length * up) / down))
  for (let index = 0; index < result.length; index++) {
    const place = Math.floor((index * down) / up)
    const phase = (index * down) % up
    let taps = phases.get(phase)
    if (!taps) {
      taps = tapsOf(phase / up, reach, band)
      phases.set(phase, taps)
    }
    const first = place - Math.ceil(reach)
    let sum = 0
    for (let tap = Math.max(0, -first); tap < Math.min(taps.length, samples.length - first); tap++)
      sum += (taps[tap] ?? 0) * (samples[first + tap] ?? 0)
    result[index] = sum
  }
  return { rate: wanted, samples: result }
}

/** Weights of the places from ⌈reach⌉ before to ⌈reach⌉ + 1 after, for a point `part` behind the middle one; their sum is 1. */
function tapsOf(part: number, reach: number, band: number): Float32Array {
  const before = Math.ceil(reach)
  const taps = Float32Array.from({ length: 2 * before + 2 }, (_, tap) => {
    const distance = tap - before - part
    if (Math.abs(distance) >= reach) return 0
    const angle = Math.PI * band * distance
    const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / reach)
    return window * (angle === 0 ? 1 : Math.sin(angle) / angle)
  })
  const sum = taps.reduce((total, tap) => total + tap, 0)
  return taps.map((tap) => tap / sum)
}

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b)
}
