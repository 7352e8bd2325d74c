import type { Phase } from '../model/model.ts'
import { type Bucket, bucketsOf } from './buckets.ts'
import type { Group } from './group.ts'
import type { ModelState } from './model-state.ts'

/** Number of buckets that a phase may have: bucket numbers of a step are phase · this + bucket. */
export const bucketsPerPhase = 64

/**
 * The reductions of one phase. A bucket leaves as soon as all its gradients are there, while the backward pass still
 * computes the others; the one with the tail leaves last.
 */
export class PhaseReduction {
  readonly #state: ModelState
  readonly #group: Group
  readonly #step: number
  readonly #index: number
  readonly #waiting: Map<Bucket, Set<string>>
  readonly #sent: Promise<number>[] = []

  constructor(state: ModelState, group: Group, step: number, phase: Phase, index: number) {
    this.#state = state
    this.#group = group
    this.#step = step
    this.#index = index
    const buckets = bucketsOf(state, phase)
    this.#waiting = new Map(buckets.map((bucket) => [bucket, new Set(bucket.slots.map(({ name }) => name))]))
  }

  /** The only partial sum of this parameter's gradient is whole. */
  ready(parameter: string): void {
    for (const [bucket, missing] of this.#waiting)
      if (missing.delete(parameter) && missing.size === 0 && !bucket.hasTail) this.#send(bucket, 1)
  }

  /** All gradients are there, each in so many partial sums. Settles with the bytes that this rank sent. */
  async rest(parts: number): Promise<number> {
    for (const bucket of [...this.#waiting.keys()]) this.#send(bucket, parts)
    return (await Promise.all(this.#sent)).reduce((sum, bytes) => sum + bytes, 0)
  }

  #send(bucket: Bucket, parts: number): void {
    this.#waiting.delete(bucket)
    const { gradients } = this.#state.network(bucket.network)
    const offsets = gradients.slice(0, parts).map((offset) => offset + bucket.offset)
    const number = this.#index * bucketsPerPhase + bucket.id
    const sent = this.#group.allReduce(this.#step, number, offsets, bucket.count)
    sent.catch(() => {}) // whoever waits for the rest hears of it
    this.#sent.push(sent)
  }
}
