import type { Picture } from './decode-image.ts'

/**
 * The largest square in the middle of a picture, at `size` × `size`: bytes [size, size, 3]. What is transparent lies on white. Weights are
 * triangles whose base is two pixels of the coarser of both grids: bilinear where it grows, an average where it shrinks.
 */
export function centredSquare({ height, width, data }: Picture, size: number): Uint8Array {
  const side = Math.min(height, width)
  const taps = triangleTaps(side, size)
  const top = (height - side) >> 1
  const left = (width - side) >> 1
  const narrow = new Float32Array(side * size * 3) // [side, size, 3]
  for (let y = 0; y < side; y++)
    for (const [x, { first, weights }] of taps.entries())
      for (const [tap, weight] of weights.entries()) {
        const source = ((top + y) * width + left + first + tap) * 4
        const opacity = (data[source + 3] ?? 0) / 255
        const target = (y * size + x) * 3
        for (let channel = 0; channel < 3; channel++)
          narrow[target + channel] =
            (narrow[target + channel] ?? 0) + weight * (255 + opacity * ((data[source + channel] ?? 0) - 255))
      }
  const result = new Uint8Array(size * size * 3)
  for (const [y, { first, weights }] of taps.entries())
    for (let at = 0; at < size * 3; at++) {
      let sum = 0
      for (const [tap, weight] of weights.entries()) sum += weight * (narrow[(first + tap) * size * 3 + at] ?? 0)
      result[y * size * 3 + at] = Math.min(255, Math.max(0, Math.round(sum)))
    }
  return result
}

interface Taps {
  readonly first: number
  /** Sum 1. */
  readonly weights: readonly number[]
}

/** What each of `to` places takes of `from` places. */
function triangleTaps(from: number, to: number): Taps[] {
  const scale = from / to
  const reach = Math.max(1, scale)
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale - 0.5
    const first = Math.max(0, Math.ceil(centre - reach))
    const last = Math.min(from - 1, Math.floor(centre + reach))
    const weights = Array.from({ length: last - first + 1 }, (_, tap) =>
      Math.max(0, 1 - Math.abs(first + tap - centre) / reach),
    )
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return { first, weights: weights.map((weight) => weight / sum) }
  })
}
