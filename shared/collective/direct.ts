import { type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import { chunkOf, ranksBut, segmentsOf } from './chunks.ts'
import { PartsBySegment } from './parts.ts'
import { type BucketView, plane, type Reduction, type Verdict } from './reduction.ts'

/**
 * Direct all-reduce: reduce-scatter and all-gather in one hop each.
 *
 * A bucket of E elements is cut into N chunks; rank r owns chunk r. Every rank sends its part of chunk r to r, in
 * segments; r adds the N parts of a segment in rank order 0 … N−1 and sends the sum to all others. Each rank moves
 * 2 E (N−1)/N elements, as a ring does, in two hops instead of 2 (N−1). The owner alone adds, always in rank order, so
 * all replicas hold the same bits and so does a second run.
 *
 * With lanes a rank offers its partial sums over subtrees of the lane tree instead of one sum, and the owner adds all of
 * them in the order of the tree: then the bits do not depend on N either (lanes.ts).
 *
 * Files: chunk o is written as a partial sum for o alone, chunk r as a result; both rules of reduction.ts hold.
 */
export class DirectReduction implements Reduction {
  readonly #bucket: BucketView
  readonly #parts: PartsBySegment
  readonly #results = new Set<number>()
  /** Segments by their first element, of all chunks. */
  readonly #owners = new Map<number, { owner: number; end: number }>()
  #remaining: number

  constructor(bucket: BucketView) {
    this.#bucket = bucket
    const { worldSize, count, segmentElements } = bucket
    for (let owner = 0; owner < worldSize; owner++)
      for (const { start, end } of segmentsOf(chunkOf(owner, worldSize, count), segmentElements))
        this.#owners.set(start, { owner, end })
    this.#remaining = this.#owners.size
    this.#parts = new PartsBySegment(bucket)
  }

  get done(): boolean {
    return this.#remaining === 0
  }

  begin(): void {
    const { rank, worldSize, count, segmentElements, parts, send } = this.#bucket
    for (let hop = 1; hop < worldSize; hop++) {
      const owner = (rank + hop) % worldSize // start at the next rank, so that not all send to rank 0 at once
      for (const range of segmentsOf(chunkOf(owner, worldSize, count), segmentElements))
        for (let part = 0; part < parts; part++)
          send([owner], { kind: frameKind.contribution, range, part, plane: plane.partial })
    }
  }

  accept(header: FrameHeader, payload: Payload): Verdict {
    const { rank, worldSize, values, sums, send } = this.#bucket
    const segment = this.#owners.get(header.offset)
    const owner = header.kind === frameKind.contribution ? rank : header.sender
    if (segment?.owner !== owner || header.offset + header.count !== segment.end) return 'foreign'
    const range = { start: header.offset, end: segment.end }
    if (header.kind === frameKind.reduced) {
      if (this.#results.has(range.start)) return 'repeated'
      this.#results.add(range.start)
      sums.copy(values(range), payload)
    } else {
      const all = this.#parts.take(header, payload)
      if (all === 'repeated') return all
      if (!all) return 'taken'
      sums.sum(values(range), all)
      send(ranksBut(rank, worldSize), { kind: frameKind.reduced, range, plane: plane.result })
    }
    this.#remaining--
    return 'taken'
  }
}
