/** What a step needs from the other ranks. */
export interface Group {
  readonly generation: number
  readonly rank: number
  readonly worldSize: number
  /**
   * Adds `count` floats, each rank's partial sums at these byte offsets of the shared memory, over all ranks into the first; returns the bytes sent. Rejects once aborted.
   */
  allReduce(step: number, bucket: number, offsets: readonly number[], count: number): Promise<number>
}
