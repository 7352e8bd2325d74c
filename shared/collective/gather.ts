import { type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import { type Range, ranksBut } from './chunks.ts'
import type { BucketView, Reduction, Verdict } from './reduction.ts'

/**
 * All-gather in one hop: nothing is added. The bucket has a part of each rank, in rank order; each rank sends its own to all others.
 * Of equal parts, each moves E (N−1)/N elements.
 *
 * Files: a rank is done when it has the others' parts, which says nothing about whether they have read its own. So it takes two planes by
 * turns, as in exchange.ts.
 */
export class GatherReduction implements Reduction {
  readonly #bucket: BucketView
  readonly #missing: Set<number>
  readonly #parts: Range[] = []

  /** `counts`: elements of each rank's part. */
  constructor(bucket: BucketView, counts: readonly number[]) {
    this.#bucket = bucket
    let start = 0
    for (const count of counts) {
      this.#parts.push({ start, end: start + count })
      start += count
    }
    this.#missing = new Set(ranksBut(bucket.rank, bucket.worldSize))
  }

  get done(): boolean {
    return this.#missing.size === 0
  }

  begin(): void {
    const { rank, worldSize, turnPlane, send } = this.#bucket
    const lane = { plane: turnPlane }
    send(ranksBut(rank, worldSize), { kind: frameKind.reduced, range: this.#partOf(rank), fresh: true, lane })
  }

  accept({ sender, offset, count, kind }: FrameHeader, payload: Payload): Verdict {
    const { sums, values } = this.#bucket
    const part = this.#partOf(sender)
    if (kind !== frameKind.reduced || part.start !== offset || part.end !== offset + count) return 'foreign'
    if (!this.#missing.delete(sender)) return 'repeated'
    sums.copy(values(part), payload)
    return 'taken'
  }

  #partOf(rank: number): Range {
    return this.#parts[rank] ?? { start: 0, end: 0 }
  }
}
