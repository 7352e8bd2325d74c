import { limits } from '../core/limits.ts'
import { type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import { chunkOf, type Range, ranksBut, segmentsOf } from './chunks.ts'
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
 * A rank has `window` segments on the way to each owner at most: segment i + window goes out when the sum of segment i has
 * come back. So a queue between two ranks is bounded, and a file needs no more room than the window, which stays in cache.
 *
 * Files: segment i lies in place i mod window of its chunk. As a partial sum it takes the place of segment i − window, which
 * the owner has read, since its sum has come back. As a result too: every rank has sent its part of i, so has read the
 * result of i − window. Between two reductions both rules of reduction.ts hold.
 */
export class DirectReduction implements Reduction {
  readonly #bucket: BucketView
  readonly #parts: PartsBySegment
  readonly #results = new Set<number>()
  /** Segments of each rank's chunk. */
  readonly #chunks: readonly (readonly Range[])[]
  #remaining: number

  constructor(bucket: BucketView) {
    this.#bucket = bucket
    const { worldSize, count, segmentElements } = bucket
    this.#chunks = Array.from({ length: worldSize }, (_, owner) =>
      segmentsOf(chunkOf(owner, worldSize, count), segmentElements),
    )
    this.#remaining = this.#chunks.reduce((sum, segments) => sum + segments.length, 0)
    this.#parts = new PartsBySegment(bucket)
  }

  get done(): boolean {
    return this.#remaining === 0
  }

  begin(): void {
    const { rank, worldSize } = this.#bucket
    for (let index = 0; index < limits.directWindow; index++)
      for (let hop = 1; hop < worldSize; hop++) this.#contribute((rank + hop) % worldSize, index) // not all to rank 0 at once
  }

  accept(header: FrameHeader, payload: Payload): Verdict {
    const { rank, worldSize, values, sums, send, settled } = this.#bucket
    const owner = header.kind === frameKind.contribution ? rank : header.sender
    const index = this.#indexOf(owner, header.offset)
    const range = this.#chunks[owner]?.[index]
    if (range?.start !== header.offset || range.end - range.start !== header.count) return 'foreign'
    if (header.kind === frameKind.reduced) {
      if (this.#results.has(range.start)) return 'repeated'
      this.#results.add(range.start)
      sums.copy(values(range), payload)
      this.#contribute(owner, index + limits.directWindow)
    } else {
      const all = this.#parts.take(header, payload)
      if (all === 'repeated') return all
      if (!all) return 'taken'
      sums.sum(values(range), all)
      const lane = { plane: plane.result, at: this.#placeOf(owner, index) }
      send(ranksBut(rank, worldSize), { kind: frameKind.reduced, range, fresh: true, lane })
    }
    settled(range)
    this.#remaining--
    return 'taken'
  }

  /** A result takes the place of this rank's part, which its owner has read. */
  place({ kind, sender, offset, count }: FrameHeader): Range | null {
    if (kind !== frameKind.reduced || this.#results.has(offset)) return null
    const range = this.#chunks[sender]?.[this.#indexOf(sender, offset)]
    return range?.start === offset && range.end - range.start === count ? range : null
  }

  #contribute(owner: number, index: number): void {
    const { parts, send } = this.#bucket
    const range = this.#chunks[owner]?.[index]
    if (!range) return
    const lane = { plane: plane.partial, at: this.#placeOf(owner, index) }
    for (let part = 0; part < parts; part++) send([owner], { kind: frameKind.contribution, range, part, lane })
  }

  #indexOf(owner: number, offset: number): number {
    return Math.floor((offset - (this.#chunks[owner]?.[0]?.start ?? 0)) / this.#bucket.segmentElements)
  }

  #placeOf(owner: number, index: number): number {
    return this.#chunks[owner]?.[index % limits.directWindow]?.start ?? 0
  }
}
