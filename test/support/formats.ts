/** Number formats, slow and obvious. */

/** Value of a binary16: (−1)^s 2^(e−15) (1 + m/1024), denormals 2^−14 m/1024. */
export function valueOfHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return exponent === 0 ? (sign * mantissa) / 2 ** 24 : sign * 2 ** (exponent - 15) * (1 + mantissa / 1024)
}

const positiveHalves = Array.from({ length: 0x7c00 }, (_, bits) => valueOfHalf(bits))

/** The nearest finite binary16, of two equally near the even one. */
export function nearestHalf(value: number): number {
  if (!Number.isFinite(value)) return value
  const size = Math.abs(value)
  let low = 0
  let high = positiveHalves.length - 1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((positiveHalves[middle] ?? 0) <= size) low = middle
    else high = middle
  }
  return Math.sign(value) * nearer(size, low, high, (bits) => positiveHalves[bits] ?? 0)
}

/** The nearest bfloat16: a float32 whose lower half is 0. */
export function nearestBfloat(value: number): number {
  if (!Number.isFinite(value)) return value
  const word = new Uint32Array(1)
  const float = new Float32Array(word.buffer)
  const numberOf = (upper: number): number => {
    word[0] = upper * 65_536
    return upper === 0x7f80 ? 2 ** 128 : (float[0] ?? 0)
  }
  float[0] = Math.abs(value)
  const below = (word[0] ?? 0) >>> 16
  const found = nearer(Math.abs(value), below, below + 1, numberOf)
  return Math.sign(value) * (found === 2 ** 128 ? Number.POSITIVE_INFINITY : found)
}

function nearer(size: number, low: number, high: number, numberOf: (bits: number) => number): number {
  const below = size - numberOf(low)
  const above = numberOf(high) - size
  if (below === above) return numberOf(low % 2 === 0 ? low : high)
  return numberOf(below < above ? low : high)
}

/** A block that shares an exponent: whole numbers −127 … 127 of units of 2^(e−6), e that of the largest; NaN where one is not finite. */
export function nearestInBlock(block: readonly number[]): number[] {
  const most = Math.max(...block.map((value) => (Number.isNaN(value) ? Number.POSITIVE_INFINITY : Math.abs(value))))
  if (!Number.isFinite(most)) return block.map(() => Number.NaN)
  if (most < 2 ** -119) return block.map(() => 0)
  const unit = 2 ** (Math.floor(Math.log2(most)) - 6)
  return block.map((value) => Math.max(-127, Math.min(127, roundHalfEven(value / unit))) * unit)
}

function roundHalfEven(value: number): number {
  const below = Math.floor(value)
  if (value - below !== 0.5) return Math.round(value)
  return below % 2 === 0 ? below : below + 1
}

/** The `kept` values of largest magnitude, of equal ones the first; NaN is largest. The others are 0. */
export function largestOf(block: readonly number[], kept: number): number[] {
  const size = (value: number) => (Number.isNaN(value) ? Number.POSITIVE_INFINITY : Math.abs(value))
  const order = block.map((value, index) => ({ value, index }))
  order.sort((a, b) => (size(a.value) === size(b.value) ? a.index - b.index : size(b.value) - size(a.value)))
  const chosen = new Set(order.slice(0, kept).map(({ index }) => index))
  return block.map((value, index) => (chosen.has(index) ? value : 0))
}
