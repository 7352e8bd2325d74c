/** Count, two sums over the number's halves, and one over a mix of its bits (Knuth's multiplicative hash). */
export type SampleChecksum = [count: number, low: number, high: number, mixed: number]

/**
 * Proof of use: every rank adds these four numbers over the samples that it really fed to the model, and the
 * all-reduce adds the ranks. All partial sums stay below 2^24, so float32 holds them exactly.
 */
export function sampleChecksum(ids: Iterable<number>): SampleChecksum {
  const sum: SampleChecksum = [0, 0, 0, 0]
  for (const id of ids) {
    sum[0] += 1
    sum[1] += id & 0xfff
    sum[2] += (id >>> 12) & 0xfff
    sum[3] += Math.imul(id, 0x9e3779b1) >>> 20
  }
  return sum
}
