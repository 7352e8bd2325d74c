/** The value below which this part of them lies, 0.5 for the median; of two in question the lower one, so that it is one of them. 0 of none. */
export function lowerQuantile(values: readonly number[], part: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(part * (values.length - 1))] ?? 0
}
