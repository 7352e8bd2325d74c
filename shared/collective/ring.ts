import { type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import { chunkOf, segmentsOf } from './chunks.ts'
import { type BucketView, plane, type Reduction, type Verdict } from './reduction.ts'

/**
 * Ring all-reduce (Patarasuk & Yuan 2009): each rank talks to its right neighbour alone.
 *
 * Chunk c starts at rank c and travels to the right; each rank adds its own part and passes it on, until rank c − 1 has
 * the sum. From there the result travels to the right again, until rank c − 2 has it. Each rank moves 2 E (N−1)/N
 * elements in 2 (N−1) hops, over N links instead of N (N−1); segments follow each other without waiting.
 *
 * The sum of chunk c is ((g_c + g_{c+1}) + …) + g_{c−1}, made once and passed on: the same bits on all replicas.
 *
 * Files: a rank sends each chunk but c = rank + 1 once as a partial sum and each but c = rank + 2 once as a result, to one
 * reader; both rules of reduction.ts hold.
 */
export class RingReduction implements Reduction {
  readonly #bucket: BucketView
  readonly #right: number
  readonly #left: number
  readonly #segments = new Map<number, { chunk: number; end: number }>()
  /** Segments whose partial sum, and whose result, has come. */
  readonly #added = new Set<number>()
  readonly #results = new Set<number>()

  constructor(bucket: BucketView) {
    this.#bucket = bucket
    const { rank, worldSize, count, segmentElements } = bucket
    this.#right = (rank + 1) % worldSize
    this.#left = (rank + worldSize - 1) % worldSize
    for (let chunk = 0; chunk < worldSize; chunk++)
      for (const { start, end } of segmentsOf(chunkOf(chunk, worldSize, count), segmentElements))
        this.#segments.set(start, { chunk, end })
  }

  get done(): boolean {
    return this.#results.size === this.#segments.size
  }

  begin(): void {
    const { rank, send } = this.#bucket
    for (const [start, { chunk, end }] of this.#segments)
      if (chunk === rank)
        send([this.#right], { kind: frameKind.contribution, range: { start, end }, lane: { plane: plane.partial } })
  }

  accept(header: FrameHeader, payload: Payload): Verdict {
    const { rank, worldSize, values, sums, send } = this.#bucket
    const segment = this.#segments.get(header.offset)
    const partial = header.kind === frameKind.contribution
    // No chunk comes back to where it started as a partial sum, nor as a result to where its sum was made.
    const never = partial ? rank : this.#right
    if (header.sender !== this.#left || segment?.chunk === never) return 'foreign'
    if (!segment || header.offset + header.count !== segment.end) return 'foreign'
    const range = { start: header.offset, end: segment.end }
    const seen = partial ? this.#added : this.#results
    if (seen.has(range.start)) return 'repeated'
    seen.add(range.start)
    if (partial) sums.add(values(range), payload)
    else sums.copy(values(range), payload)
    if (partial && segment.chunk !== this.#right) {
      send([this.#right], { kind: frameKind.contribution, range, lane: { plane: plane.partial } })
      return 'taken'
    }
    this.#results.add(range.start)
    const madeByRight = (this.#right + 1) % worldSize
    if (segment.chunk !== madeByRight)
      send([this.#right], { kind: frameKind.reduced, range, fresh: partial, lane: { plane: plane.result } })
    return 'taken'
  }
}
