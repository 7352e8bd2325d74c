import { type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import { chunkOf, type Range, segmentsOf } from './chunks.ts'
import { type BucketView, plane, type Reduction, type Verdict } from './reduction.ts'

/** What a rank exchanges with one peer before it can go on. */
interface Round {
  readonly peer: number
  readonly kind: number
  readonly send: Range | null
  readonly receive: Range | null
  /** What is sent are sums that this rank has just made. */
  readonly fresh: boolean
}

/**
 * Recursive halving and doubling (Thakur, Rabenseifner & Gropp 2005, section 4.4).
 *
 * Let P be the largest power of two in N. Rank P + i first adds its whole bucket to rank i, and gets the result from it at
 * the end. Among the P others, in round d = P/2, P/4, … 1, rank r and rank r xor d halve the range that both hold: each
 * sends the half that the other keeps and adds what it gets. Then r owns chunk r of P. In rounds d = 1, 2, … P/2 the same
 * pairs send each other the results that they hold. Each of the P moves 2 E (P−1)/P elements in 2 log₂ P messages or more:
 * fewest of all algorithms, so for small buckets in large groups.
 *
 * Each sum is made by the pairs' fixed tree and in one place, and passed on: the same bits on all replicas. Rounds are
 * taken one after the other, so parts are added in the same order in a second run too; what comes early waits.
 *
 * Files: a half that was sent as a partial sum is not held any more, so no element is sent so twice. A result is sent in
 * several rounds, the same bytes each time. Both rules of reduction.ts hold.
 */
export class TreeReduction implements Reduction {
  readonly #bucket: BucketView
  readonly #rounds: readonly Round[]
  #current = 0
  /** First elements of the segments that have come in the current round, and how many it has. */
  #arrived = new Set<number>()
  #expected = 0
  readonly #early = new Map<Round, [FrameHeader, Payload][]>()

  constructor(bucket: BucketView) {
    this.#bucket = bucket
    this.#rounds = roundsOf(bucket)
  }

  get done(): boolean {
    return this.#current === this.#rounds.length
  }

  begin(): void {
    this.#enter()
  }

  accept(header: FrameHeader, payload: Payload): Verdict {
    const index = this.#rounds.findIndex(({ peer, kind }) => peer === header.sender && kind === header.kind)
    const round = this.#rounds[index]
    if (!round?.receive || index < this.#current) return round?.receive ? 'repeated' : 'foreign'
    if (!this.#isSegment(header, round.receive)) return 'foreign'
    if (index > this.#current) {
      const early = this.#early.get(round) ?? []
      if (early.some(([other]) => other.offset === header.offset)) return 'repeated'
      this.#early.set(round, [...early, [header, payload]])
      return 'taken'
    }
    if (this.#arrived.has(header.offset)) return 'repeated'
    this.#take(header, payload)
    if (this.#arrived.size === this.#expected) {
      this.#current++
      this.#enter()
    }
    return 'taken'
  }

  #take(header: FrameHeader, payload: Payload): void {
    const { values, sums } = this.#bucket
    const target = values({ start: header.offset, end: header.offset + header.count })
    this.#arrived.add(header.offset)
    if (header.kind === frameKind.contribution) sums.add(target, payload)
    else sums.copy(target, payload)
  }

  /** Sends what the current round has to send, and goes on as long as nothing has to be waited for. */
  #enter(): void {
    const { segmentElements, send } = this.#bucket
    for (; this.#current < this.#rounds.length; this.#current++) {
      const round = this.#rounds[this.#current]
      if (!round) return
      const { peer, kind, fresh } = round
      const planeOfKind = kind === frameKind.contribution ? plane.partial : plane.result
      // A half is read before it is added to: what was sent has been copied when `send` returns.
      for (const range of round.send ? segmentsOf(round.send, segmentElements) : [])
        send([peer], { kind, range, fresh, lane: { plane: planeOfKind } })
      this.#arrived = new Set()
      this.#expected = round.receive ? segmentsOf(round.receive, segmentElements).length : 0
      for (const [header, payload] of this.#early.get(round) ?? []) this.#take(header, payload)
      this.#early.delete(round)
      if (this.#arrived.size < this.#expected) return
    }
  }

  #isSegment({ offset, count }: FrameHeader, { start, end }: Range): boolean {
    const { segmentElements } = this.#bucket
    const inside = offset >= start && offset < end && (offset - start) % segmentElements === 0
    return inside && count === Math.min(segmentElements, end - offset)
  }
}

function roundsOf({ rank, worldSize, count }: BucketView): Round[] {
  const power = 2 ** Math.floor(Math.log2(worldSize))
  const whole = { start: 0, end: count }
  const { contribution, reduced } = frameKind
  if (rank >= power) {
    const peer = rank - power
    return [
      { peer, kind: contribution, send: whole, receive: null, fresh: false },
      { peer, kind: reduced, send: null, receive: whole, fresh: false },
    ]
  }
  const guest = rank + power < worldSize ? rank + power : null
  const halving: Round[] = []
  const doubling: Round[] = []
  for (let distance = power / 2; distance >= 1; distance /= 2) {
    const peer = rank ^ distance
    const mine = chunksFrom(rank, distance, power, count)
    const theirs = chunksFrom(peer, distance, power, count)
    halving.push({ peer, kind: contribution, send: theirs, receive: mine, fresh: false })
    doubling.unshift({ peer, kind: reduced, send: mine, receive: theirs, fresh: distance === 1 })
  }
  if (guest === null) return [...halving, ...doubling]
  const taken: Round = { peer: guest, kind: contribution, send: null, receive: whole, fresh: false }
  const given: Round = { peer: guest, kind: reduced, send: whole, receive: null, fresh: false }
  return [taken, ...halving, ...doubling, given]
}

/** The aligned block of `width` chunks that holds chunk `rank`. */
function chunksFrom(rank: number, width: number, power: number, count: number): Range {
  const first = rank - (rank % width)
  return { start: chunkOf(first, power, count).start, end: chunkOf(first + width - 1, power, count).end }
}
