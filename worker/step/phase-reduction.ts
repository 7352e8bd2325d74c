import { limits } from '../../shared/core/limits.ts'
import { bucketsPerPhase } from '../../shared/protocol/frame.ts'
import type { Phase } from '../model/model.ts'
import { type Bucket, bucketsOf } from './buckets.ts'
import type { Group, HostGroup } from './group.ts'
import { type ModelState, tail } from './model-state.ts'
import { SettledSquares } from './settled-squares.ts'

/**
 * The reductions of one phase. A bucket leaves as soon as all its gradients are there, while the backward pass still
 * computes the others; the one with the tail leaves last.
 */
export class PhaseReduction {
  readonly #state: ModelState
  readonly #group: Group
  readonly #step: number
  readonly #index: number
  readonly #overlaps: boolean
  readonly #waiting: Map<Bucket, Set<string>>
  readonly #sent: Promise<number>[] = []
  /** By network. */
  readonly #squares: ReadonlyMap<string, SettledSquares>

  constructor(state: ModelState, group: Group, step: number, phase: Phase, index: number) {
    this.#state = state
    this.#group = group
    this.#step = step
    this.#index = index
    this.#squares = new Map(phase.updates.map((network) => [network, new SettledSquares(state, network)]))
    this.#overlaps = group.host?.overlaps ?? true
    const buckets = bucketsOf(state, phase, this.#overlaps ? limits.bucketBytes : Number.POSITIVE_INFINITY)
    this.#waiting = new Map(buckets.map((bucket) => [bucket, new Set(bucket.slots.map(({ name }) => name))]))
  }

  /** The sums of squares of the reduced gradient are there. */
  get squared(): boolean {
    return [...this.#squares.values()].every(({ complete }) => complete)
  }

  /** The only partial sum of this parameter's gradient is whole. */
  ready(parameter: string): void {
    if (!this.#overlaps) return
    for (const [bucket, missing] of this.#waiting)
      if (missing.delete(parameter) && missing.size === 0 && !bucket.hasTail) void this.#send(bucket, 1, this.#group)
  }

  /** All gradients are there, each in so many partial sums. Settles with the bytes that this rank sent. */
  async rest(parts: number): Promise<number> {
    const { host } = this.#group
    for (const bucket of [...this.#waiting.keys()]) {
      const here = host && (bucket.hasTail || !host.overlaps) ? host : null
      const sent = this.#send(bucket, parts, here ?? this.#group)
      if (here) await sent
    }
    return (await Promise.all(this.#sent)).reduce((sum, bytes) => sum + bytes, 0)
  }

  #send(bucket: Bucket, parts: number, { allReduce }: Pick<HostGroup, 'allReduce'>): Promise<number> {
    this.#waiting.delete(bucket)
    const { gradients } = this.#state.network(bucket.network)
    const offsets = gradients.slice(0, parts).map((offset) => offset + bucket.offset)
    const number = this.#index * bucketsPerPhase + bucket.id
    const before = bucket.offset / 4
    const squares = this.#squares.get(bucket.network)
    const settled = (first: number, count: number) => squares?.settled(before + first, count)
    const sent = allReduce(this.#step, number, offsets, bucket.count, bucket.hasTail ? tail.floats : 0, settled)
    sent.catch(() => {}) // whoever waits for the rest hears of it
    this.#sent.push(sent)
    return sent
  }
}
