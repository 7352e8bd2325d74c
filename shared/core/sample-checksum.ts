/**
 * Proof of use: every rank adds these three numbers over the samples that it really fed to the model, and the
 * all-reduce adds the ranks. All partial sums stay below 2^24, so float32 holds them exactly.
 */
export function sampleChecksum(ids: Iterable<number>): [count: number, low: number, high: number] {
  let count = 0
  let low = 0
  let high = 0
  for (const id of ids) {
    count += 1
    low += id & 0xfff
    high += (id >>> 12) & 0xfff
  }
  return [count, low, high]
}
