/** Items [first, last). */
export interface Span {
  readonly first: number
  readonly last: number
}

/**
 * Cuts a row of costs into so many neighbouring spans, none of them empty, so that the largest weighed sum is as small as can be;
 * `weight`: what a cost counts in span number `part`; `edge`: what a cut in front of an item costs either side. Of equal cuts that with the earliest
 * edges. O(parts · n²).
 */
export function partition(
  costs: readonly number[],
  parts: number,
  weight: (part: number) => number,
  edge: (item: number) => number = () => 0,
): Span[] {
  const n = costs.length
  const before = [0]
  for (const cost of costs) before.push((before.at(-1) ?? 0) + cost)
  const sum = (first: number, last: number) => (before[last] ?? 0) - (before[first] ?? 0)
  const edges = (first: number, last: number) => (first > 0 ? edge(first) : 0) + (last < n ? edge(last) : 0)
  /** best[part][end]: the least maximum for the first `end` items in parts 0 … part, and where the last of these begins. */
  const best: { most: number; first: number }[][] = []
  for (let part = 0; part < parts; part++) {
    const row: { most: number; first: number }[] = []
    for (let end = part + 1; end <= n; end++) {
      let least = { most: Number.POSITIVE_INFINITY, first: part }
      for (let first = part; first < end; first++) {
        if (part === 0 && first > 0) break
        const others = part === 0 ? 0 : (best[part - 1]?.[first]?.most ?? Number.POSITIVE_INFINITY)
        const most = Math.max(others, weight(part) * sum(first, end) + edges(first, end))
        if (most < least.most) least = { most, first }
      }
      row[end] = least
    }
    best.push(row)
  }
  const spans: Span[] = []
  for (let part = parts - 1, last = n; part >= 0; part--) {
    const first = best[part]?.[last]?.first ?? 0
    spans.unshift({ first, last })
    last = first
  }
  return spans
}
