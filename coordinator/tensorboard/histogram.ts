export interface Histogram {
  readonly min: number
  readonly max: number
  readonly count: number
  readonly sum: number
  readonly squares: number
  /** Upper ends of the buckets; the lower one is the end of the bucket before, or `min`. */
  readonly limits: readonly number[]
  readonly counts: readonly number[]
}

const buckets = 30
/** More values than this say nothing more; of a larger tensor each n-th is looked at. */
const maxValues = 65_536

/** Buckets of one width. Values that are not finite are left out; null where there are no others. */
export function histogramOf(values: Float32Array): Histogram | null {
  const stride = Math.ceil(values.length / maxValues)
  let [min, max, count, sum, squares] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0]
  for (let index = 0; index < values.length; index += stride) {
    const value = values[index] ?? Number.NaN
    if (!Number.isFinite(value)) continue
    min = Math.min(min, value)
    max = Math.max(max, value)
    count++
    sum += value
    squares += value * value
  }
  if (count === 0) return null
  const width = (max - min) / buckets
  if (width === 0) return { min, max, count, sum, squares, limits: [max], counts: [count] }
  const counts = Array.from({ length: buckets }, () => 0)
  for (let index = 0; index < values.length; index += stride) {
    const value = values[index] ?? Number.NaN
    if (!Number.isFinite(value)) continue
    const bucket = Math.min(buckets - 1, Math.floor((value - min) / width))
    counts[bucket] = (counts[bucket] ?? 0) + 1
  }
  const limits = counts.map((_, index) => (index === buckets - 1 ? max : min + (index + 1) * width))
  return { min, max, count, sum, squares, limits, counts }
}
