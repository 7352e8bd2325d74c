import type { FrameHeader } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import type { BucketView } from './reduction.ts'
import type { Part } from './sums.ts'

/** Parts of segments that wait for those of the other ranks. They stay where they came in until all are there. */
export class PartsBySegment {
  readonly #bucket: BucketView
  /** By the segment's first element. */
  readonly #waiting = new Map<number, { parts: (Payload | undefined)[]; missing: number }>()
  readonly #complete = new Set<number>()

  constructor(bucket: BucketView) {
    this.#bucket = bucket
  }

  /** All parts of the segment, in order, once the last has come; null before. */
  take({ offset, count, sender, part }: FrameHeader, payload: Payload): Part[] | null | 'repeated' {
    const { sums, parts: own, rank, values } = this.#bucket
    if (this.#complete.has(offset)) return 'repeated'
    const segment = this.#waiting.get(offset) ?? {
      parts: new Array<Payload | undefined>(sums.parts),
      missing: sums.parts - own,
    }
    this.#waiting.set(offset, segment)
    const place = sums.placeOf(sender, part)
    if (place === null || segment.parts[place]) return 'repeated'
    segment.parts[place] = payload
    if (--segment.missing > 0) return null
    this.#waiting.delete(offset)
    this.#complete.add(offset)
    const first = sums.placeOf(rank, 0) ?? 0
    const range = { start: offset, end: offset + count }
    return Array.from(segment.parts, (there, index) => there ?? values(range, index - first))
  }
}
