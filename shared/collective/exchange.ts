import { type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import { ranksBut, segmentsOf } from './chunks.ts'
import { PartsBySegment } from './parts.ts'
import type { BucketView, Reduction, Verdict } from './reduction.ts'

/**
 * One hop: every rank sends its whole bucket to every other, and adds all of them itself, in rank order or in the order
 * of the lane tree. The same order on every rank makes the same bits. Each rank moves E (N−1) elements, N/2 times what
 * direct moves, but waits for one message instead of two: for small buckets.
 *
 * Files: a rank is done when it has the others' parts, which says nothing about whether they have read its own. So it
 * takes two planes by turns: a rank that begins reduction k + 2 of a bucket has finished k + 1, so every rank has begun
 * k + 1, in the memory where it finished k: it has read all parts of k.
 */
export class ExchangeReduction implements Reduction {
  readonly #bucket: BucketView
  readonly #parts: PartsBySegment
  readonly #ends: ReadonlyMap<number, number>
  #remaining: number

  constructor(bucket: BucketView) {
    this.#bucket = bucket
    this.#parts = new PartsBySegment(bucket)
    this.#ends = new Map(this.#segments().map(({ start, end }) => [start, end]))
    this.#remaining = this.#ends.size
  }

  get done(): boolean {
    return this.#remaining === 0
  }

  begin(): void {
    const { rank, worldSize, parts, turnPlane, send } = this.#bucket
    const others = ranksBut(rank, worldSize)
    const lane = { plane: turnPlane }
    for (const range of this.#segments())
      for (let part = 0; part < parts; part++) send(others, { kind: frameKind.contribution, range, part, lane })
  }

  accept(header: FrameHeader, payload: Payload): Verdict {
    const end = this.#ends.get(header.offset)
    if (header.kind !== frameKind.contribution || header.offset + header.count !== end) return 'foreign'
    const all = this.#parts.take(header, payload)
    if (all === 'repeated') return all
    if (!all) return 'taken'
    const { values, sums, settled } = this.#bucket
    const range = { start: header.offset, end }
    sums.sum(values(range), all)
    settled(range)
    this.#remaining--
    return 'taken'
  }

  #segments() {
    return segmentsOf({ start: 0, end: this.#bucket.count }, this.#bucket.segmentElements)
  }
}
