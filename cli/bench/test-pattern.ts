/** A prime: chunks and segments begin at other places of the pattern, so that one in the place of another shows. */
const period = 4099
/** Rounds differ, so that what a round left behind is no result of the next. */
const rounds = 7

/** What a rank brings to round number `round`: whole numbers, whose sums are exact in float32. */
export function fillPattern(values: Float32Array, rank: number, round: number): void {
  repeat(values, (place) => place + (rank + 1) * (1 + (round % rounds)))
}

/**
 * What compression may lose of an element, as a part of the largest: of each rank's part and of the sum, with what is left over
 * from the round before. Of top-k nothing is known but that sums of positive numbers are not negative.
 */
const loss = { none: 0, bf16: 2 ** -6, fp16: 2 ** -9, int8: 2 ** -4, topk: Number.POSITIVE_INFINITY } as const

/** Null where every element is the sum over all ranks; else what is wrong. */
export function firstWrong(
  values: Float32Array,
  worldSize: number,
  round: number,
  compression: keyof typeof loss = 'none',
): string | null {
  const ofRanks = ((worldSize * (worldSize + 1)) / 2) * (1 + (round % rounds))
  const expected = Float32Array.from({ length: period }, (_, place) => worldSize * place + ofRanks)
  for (let start = 0; start < values.length; start += period) {
    const part = values.subarray(start, start + period)
    if (Buffer.compare(bytesOf(part), bytesOf(expected.subarray(0, part.length))) === 0) continue
    const bound = loss[compression] * worldSize * (expected.at(-1) ?? 0)
    const place = part.findIndex((value, index) => {
      const off = Math.abs(value - (expected[index] ?? 0))
      return compression === 'topk' ? !(value >= 0 && value < bound) : !(off <= bound)
    })
    if (place < 0) continue
    return `element ${start + place} is ${part[place]} instead of ${expected[place]}`
  }
  return null
}

function repeat(values: Float32Array, valueAt: (place: number) => number): void {
  const pattern = Float32Array.from({ length: Math.min(period, values.length) }, (_, place) => valueAt(place))
  for (let start = 0; start < values.length; start += period)
    values.set(pattern.subarray(0, values.length - start), start)
}

function bytesOf(values: Float32Array): Uint8Array {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength)
}
