/** What a step needs from the other ranks. */
export interface Group {
  readonly generation: number
  readonly rank: number
  readonly worldSize: number
  /** Adds `count` floats at a byte offset of the shared memory over all ranks, in place. Rejects once aborted. */
  allReduce(step: number, bucket: number, offset: number, count: number): Promise<{ bytes: number }>
}
