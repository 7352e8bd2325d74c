/** Count, two sums over the number's halves, and two over 24 bits of a hash of it. */
export type SampleChecksum = [count: number, low: number, high: number, mixedLow: number, mixedHigh: number]

/**
 * Proof of use: every rank adds these numbers over the samples that it really fed to the model, and the all-reduce adds
 * the ranks. All partial sums stay below 2^24, so float32 holds them exactly. The hash is not linear, or samples of equal
 * sum would have nearly equal hashes.
 */
export function sampleChecksum(ids: Iterable<number>): SampleChecksum {
  const sum: SampleChecksum = [0, 0, 0, 0, 0]
  for (const id of ids) {
    const hash = mixed(id)
    sum[0] += 1
    sum[1] += id & 0xfff
    sum[2] += (id >>> 12) & 0xfff
    sum[3] += hash & 0xfff
    sum[4] += (hash >>> 12) & 0xfff
  }
  return sum
}

/** Finalizer of MurmurHash3 (Appleby 2011). */
function mixed(id: number): number {
  let hash = id
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
