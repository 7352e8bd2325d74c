import type { Update } from '../optimizer/optimizer.ts'

/** What a step needs from the other ranks. */
export interface Group {
  readonly generation: number
  readonly rank: number
  readonly worldSize: number
  /**
   * Adds `count` floats, each rank's partial sums at these byte offsets of the shared memory, over all ranks into the first; returns the bytes sent. Rejects once aborted.
   */
  allReduce(step: number, bucket: number, offsets: readonly number[], count: number): Promise<number>
  /** Another thread of this worker that runs a part of an update, elements [first, first + count); null: there is no core for it. */
  readonly assist: ((update: Update, first: number, count: number) => Promise<unknown>) | null
}
