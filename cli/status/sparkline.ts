const bars = '▁▂▃▄▅▆▇█'

/** The newest values as one line of bars, at most `width` characters; each bar is the mean of its share, a gap where none is known. */
export function sparkline(values: readonly (number | null)[], width: number): string {
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value))
  const count = Math.min(width, values.length)
  if (known.length === 0 || count < 1) return ''
  const means = Array.from({ length: count }, (_, index) => {
    const share = values.slice(
      Math.floor((index * values.length) / count),
      Math.floor(((index + 1) * values.length) / count),
    )
    const there = share.filter((value): value is number => value !== null && Number.isFinite(value))
    return there.length === 0 ? null : there.reduce((sum, value) => sum + value, 0) / there.length
  })
  const shown = means.filter((mean) => mean !== null)
  const low = Math.min(...shown)
  const range = Math.max(...shown) - low
  const bar = (mean: number) => bars[range === 0 ? 0 : Math.round(((mean - low) / range) * (bars.length - 1))]
  return means.map((mean) => (mean === null ? ' ' : bar(mean))).join('')
}
