/** Checks that wait for the rest of their group, at most; older ones are of groups that are gone. */
const maximumOpen = 16

export interface Divergence {
  readonly step: number
  /** Workers whose bits are not those of most, or all where no value has a majority. */
  readonly workerIds: readonly string[]
  /** Hash that most have; null where there is no majority. */
  readonly hash: string | null
}

/** Compares the weights of all replicas, those of a stage of a pipeline, at a step by their hashes: they must be the same bits. */
export class Replicas {
  readonly #open = new Map<string, Map<string, string>>()

  /** What is wrong, once every worker of the group has told its hash; null where nothing is, or some are missing. */
  report(
    {
      workerId,
      generation,
      step,
      hash,
      stage = 0,
    }: { workerId: string; generation: number; step: number; hash: string; stage?: number },
    group: readonly string[],
  ): Divergence | null {
    const key = `${generation}/${step}/${stage}`
    const hashes = this.#open.get(key) ?? new Map<string, string>()
    hashes.set(workerId, hash)
    this.#open.set(key, hashes)
    for (const old of this.#open.keys()) if (this.#open.size > maximumOpen) this.#open.delete(old)
    if (hashes.size < group.length || !group.every((id) => hashes.has(id))) return null
    this.#open.delete(key)
    const counts = new Map<string, number>()
    for (const value of hashes.values()) counts.set(value, (counts.get(value) ?? 0) + 1)
    if (counts.size === 1) return null
    const [most] = [...counts].find(([, count]) => 2 * count > hashes.size) ?? [null]
    const workerIds = [...hashes].filter(([, value]) => value !== most).map(([id]) => id)
    return { step, workerIds, hash: most }
  }
}
