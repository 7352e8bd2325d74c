import { assert } from '../core/errors.ts'
import type { ResidualPlaces } from './codec.ts'

/** Two copies of the residuals of the buckets that lie in a byte range of the shared memory. */
export interface ResidualRegion {
  readonly first: number
  readonly bytes: number
  readonly copies: readonly [number, number]
}

/** The copy that holds a bucket's residual; null: it is zero. */
type Copy = 0 | 1 | null

interface Bucket {
  readonly floats: number
  /** Of the last committed step. */
  committed: Copy
  /** Of the step under way; undefined: it has not reduced this bucket yet. */
  current: Copy | undefined
}

/** What becomes of the residuals: `keep` with a commit, `restore` with a step that is thrown away, `clear` with a new state. */
export type ResidualOutcome = 'keep' | 'restore' | 'clear'

/**
 * What this rank has not sent yet, element by element. In a reduction each rank encodes each element with loss once: on its
 * way into the sum, or as the sum that this rank made. So one residual holds both, and
 *   Σ over steps of the sums that all apply = Σ of all gradients + residuals before − residuals now (sums over the ranks),
 * whatever the algorithm, and however ranks and chunks change in between.
 *
 * A step is thrown away or committed whole, and so are its residuals: the first reduction of a bucket in a step reads one
 * copy and writes the other, later ones of the step stay in that, and only a commit makes it the valid one.
 */
export class Residuals {
  readonly #regions: readonly ResidualRegion[]
  readonly #floats: (offset: number, count: number) => Float32Array
  /** By their first byte. */
  readonly #buckets = new Map<number, Bucket>()

  /** `floats`: a view of the shared memory. */
  constructor(regions: readonly ResidualRegion[], floats: (offset: number, count: number) => Float32Array) {
    this.#regions = regions
    this.#floats = floats
  }

  /** Places for a reduction of the bucket that begins at this byte, as distances from its elements' own places. */
  open(offset: number, floats: number): ResidualPlaces {
    const bucket = this.#bucket(offset, floats)
    const before = bucket.current === undefined ? bucket.committed : bucket.current
    const to = bucket.current ?? (bucket.committed === 0 ? 1 : 0)
    bucket.current = to
    const distance = (copy: 0 | 1) => this.#place(offset, copy) - offset
    if (before === null) this.#floats(offset + distance(to), floats).fill(0)
    return { from: distance(before ?? to), to: distance(to) }
  }

  /** Adds what is left over to a gradient that nobody has to be sent. */
  flush(offset: number, floats: number, add: (target: Float32Array, source: Float32Array) => void): void {
    const bucket = this.#bucket(offset, floats)
    const before = bucket.current === undefined ? bucket.committed : bucket.current
    bucket.current = null
    if (before !== null) add(this.#floats(offset, floats), this.#floats(this.#place(offset, before), floats))
  }

  settle(outcome: ResidualOutcome): void {
    if (outcome === 'clear') this.#buckets.clear()
    for (const bucket of this.#buckets.values()) {
      if (outcome === 'keep' && bucket.current !== undefined) bucket.committed = bucket.current
      bucket.current = undefined
    }
  }

  #bucket(offset: number, floats: number): Bucket {
    const bucket = this.#buckets.get(offset) ?? { floats, committed: null, current: undefined }
    assert(bucket.floats === floats, 'a bucket has the same length in every step')
    this.#buckets.set(offset, bucket)
    return bucket
  }

  #place(offset: number, copy: 0 | 1): number {
    const region = this.#regions.find(({ first, bytes }) => offset >= first && offset < first + bytes)
    assert(region, 'a bucket lies where there is room for its residual')
    return region.copies[copy] + offset - region.first
  }
}
