import { type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import { segmentsOf } from './chunks.ts'
import type { BucketView, Reduction, Verdict } from './reduction.ts'

/** The hub is addressed as the rank behind the last one. */
export const hubOf = (worldSize: number): number => worldSize

/**
 * Star: a hub that every rank reaches adds up and sends the sum to all (a parameter server without parameters, Li et al. 2014),
 * for workers that do not reach each other (docs/adr/0014-star-through-the-coordinator.md).
 *
 * Every rank sends its whole bucket to the hub, segment by segment. The hub (coordinator/hub.ts) keeps the parts of a segment
 * until it has those of all ranks, adds them in rank order, or in the order of the lane tree, and sends the sum to all: one
 * place and one order, so the same bits on all replicas, those of `direct`. Each rank moves 2 E elements in 2 hops, the hub 2 N E
 * over its one link. Cost (cost.ts): 2 α + 2 N o + 2 N E β + N E γ; worst of all in bytes, and it has the coordinator in the path
 * of a step.
 *
 * Bounds: a rank has at most `limits.hubWindowBytes` at the hub that were not answered, over all its buckets. All ranks begin
 * their reductions in the same order, so the oldest segment that is not answered is within the window of every rank.
 */
export class StarReduction implements Reduction {
  readonly #bucket: BucketView
  readonly #ends: ReadonlyMap<number, number>
  readonly #results = new Set<number>()

  constructor(bucket: BucketView) {
    this.#bucket = bucket
    const { count, segmentElements } = bucket
    this.#ends = new Map(segmentsOf({ start: 0, end: count }, segmentElements).map(({ start, end }) => [start, end]))
  }

  get done(): boolean {
    return this.#results.size === this.#ends.size
  }

  begin(): void {
    const { worldSize, parts, send, window } = this.#bucket
    for (const [start, end] of this.#ends)
      window.send((end - start) * 4 * parts, () => {
        for (let part = 0; part < parts; part++)
          send([hubOf(worldSize)], { kind: frameKind.contribution, range: { start, end }, part })
      })
  }

  accept({ kind, sender, offset, count }: FrameHeader, payload: Payload): Verdict {
    const { worldSize, parts, sums, values, window } = this.#bucket
    const end = this.#ends.get(offset)
    if (kind !== frameKind.reduced || sender !== hubOf(worldSize) || end !== offset + count) return 'foreign'
    if (this.#results.has(offset)) return 'repeated'
    this.#results.add(offset)
    sums.copy(values({ start: offset, end }), payload)
    window.answered(count * 4 * parts)
    return 'taken'
  }
}
