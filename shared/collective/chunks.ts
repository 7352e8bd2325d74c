/** Elements [start, end) of a bucket. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** Part `index` of `parts` of a bucket, cut at multiples of 16 elements so that every view is 64-byte aligned. */
export function chunkOf(index: number, parts: number, count: number): Range {
  return { start: cut(index, parts, count), end: cut(index + 1, parts, count) }
}

function cut(index: number, parts: number, count: number): number {
  return index === parts ? count : Math.min(count, Math.floor((index * count) / parts / 16) * 16)
}

/** The pieces of a range that are one message each, at most `elements` long; none of an empty range. */
export function segmentsOf({ start, end }: Range, elements: number): Range[] {
  const segments: Range[] = []
  for (let at = start; at < end; at += elements) segments.push({ start: at, end: Math.min(end, at + elements) })
  return segments
}

/** The others, from the next one on: where all send to all, no rank is the first or the last of everybody. */
export function ranksBut(rank: number, worldSize: number): number[] {
  return Array.from({ length: worldSize - 1 }, (_, hop) => (rank + 1 + hop) % worldSize)
}
