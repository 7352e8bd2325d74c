import type { FrameHeader } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import type { Range } from './chunks.ts'
import type { SendWindow } from './send-window.ts'
import type { Sums } from './sums.ts'

/**
 * Planes of the file between workers of one host: partial sums, results, two that are used by turns (exchange.ts), and, behind that of the mailboxes, what a
 * link is measured with, which nobody reads for what it says. Main threads have two of their own for their turns: they take over from the communication
 * thread in the middle of a generation, and a peer's may still be reading what that one's last turn was. Then, in the first rank's, what they hold together
 * (worker/host-state.ts).
 */
export const plane = { partial: 0, result: 1, turns: 2, probe: 5, mainTurns: 6, state: 8 } as const

/** Told of elements that are final: so many from the first on. */
export type Settled = (first: number, count: number) => void

/** One bucket that is reduced, as its algorithm sees it. */
export interface BucketView {
  readonly rank: number
  readonly worldSize: number
  /** Elements of the bucket, and of one message. */
  readonly count: number
  readonly segmentElements: number
  readonly sums: Sums
  /** Partial sums that this rank offers; the result goes to the first. */
  readonly parts: number
  /** Number of the host of each rank, by rank. */
  readonly hosts: readonly number[]
  /** How much may be on the way to the hub (star.ts). */
  readonly window: SendWindow
  /** One of two planes by turns, for each reduction of the same memory. */
  readonly turnPlane: number
  /** Elements of a partial sum in this rank's memory. */
  values(range: Range, part?: number): Float32Array
  /** These elements are final here. Told by algorithms of one host alone (exchange.ts, direct.ts). */
  settled(range: Range): void
  /** Sends elements of this rank's memory; where buckets are compressed, what the others will decode stays in it. */
  send(to: readonly number[], frame: OutgoingFrame): void
}

export interface OutgoingFrame {
  readonly kind: number
  readonly range: Range
  readonly part?: number
  /** Of results: this rank made them, and they leave it for the first time. */
  readonly fresh?: boolean
  /** Where it lies in a file between workers of one host; left out: it travels in its message. */
  readonly lane?: LanePlace
}

export interface LanePlace {
  readonly plane: number
  /** Element of the bucket in whose place it lies; left out: that of the frame. */
  readonly at?: number
}

/** What became of a frame. `repeated`: dropped and counted. `foreign`: the sender cuts buckets otherwise, which aborts. */
export type Verdict = 'taken' | 'repeated' | 'foreign'

/**
 * One all-reduce under way on one rank: one class for each algorithm.
 *
 * Why nothing in a file is overwritten before it was read, whatever the algorithm: let rank r write x of reduction k + 1
 * where x of reduction k of the same memory lies.
 * - Partial sums (plane 0). An algorithm sends each element as a partial sum once at most. r has finished k, so it has
 *   the result at x, and whoever makes that has read all partial sums that flow into it.
 * - Results (plane 1). The result at x of k + 1 has a part of every rank in it, so every rank has begun k + 1, in the
 *   memory where it finished k: it has read all results of k. Within one reduction an element's result may be written
 *   again for another reader; the bytes are the same.
 */
export interface Reduction {
  /** Sends what needs nobody else's part. */
  begin(): void
  accept(header: FrameHeader, payload: Payload): Verdict
  /**
   * The elements to which the payload of this frame may be read before it is whole, where the algorithm knows that nobody has a use any more
   * for what lies there; null: none.
   */
  place?(header: FrameHeader): Range | null
  readonly done: boolean
}
