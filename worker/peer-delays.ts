import type { Clock } from '../shared/core/clock.ts'
import { limits } from '../shared/core/limits.ts'
import type { Load } from '../shared/protocol/control.ts'
import type { FrameHeader } from '../shared/protocol/frame.ts'

interface Open {
  readonly beganAt: number
  /** By rank: when its last frame was here. */
  readonly last: Map<number, number>
}

/**
 * How long this rank waited for each other one: from where it has begun a collective itself until the last frame of the other was
 * there. Of a step the longest collective counts.
 */
export class PeerDelays {
  readonly #clock: Clock
  #step = -1
  readonly #open = new Map<number, Open>()
  /** By rank, over the steps since they were asked for last. */
  readonly #sums = new Map<number, number>()
  #steps = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  begin(step: number, bucket: number): void {
    if (step !== this.#step) this.#close(step)
    this.#open.set(bucket, { beganAt: this.#clock.now(), last: new Map() })
  }

  /** A frame of a collective. One that came before this rank began waited for this one. */
  arrived({ step, bucket, sender }: Pick<FrameHeader, 'step' | 'bucket' | 'sender'>): void {
    if (step === this.#step) this.#open.get(bucket)?.last.set(sender, this.#clock.now())
  }

  /** Mean of a step, of the ranks that were waited for longest; since the last call. */
  since(): NonNullable<Load['late']> {
    const all = [...this.#sums].map(([rank, ms]) => ({ rank, seconds: ms / 1000 / Math.max(1, this.#steps) }))
    this.#sums.clear()
    this.#steps = 0
    return all.sort((a, b) => b.seconds - a.seconds).slice(0, limits.latePeers)
  }

  /** Another group. */
  clear(): void {
    this.#step = -1
    this.#open.clear()
    this.#sums.clear()
    this.#steps = 0
  }

  #close(next: number): void {
    const longest = new Map<number, number>()
    for (const { beganAt, last } of this.#open.values())
      for (const [rank, at] of last) longest.set(rank, Math.max(longest.get(rank) ?? 0, at - beganAt))
    for (const [rank, ms] of longest) this.#sums.set(rank, (this.#sums.get(rank) ?? 0) + ms)
    if (longest.size > 0) this.#steps++
    this.#open.clear()
    this.#step = next
  }
}
