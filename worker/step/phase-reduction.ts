import { assert } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { bucketsPerPhase } from '../../shared/protocol/frame.ts'
import type { Phase } from '../model/model.ts'
import { type Bucket, bucketsOf } from './buckets.ts'
import { gatherFactors, type WideGradient } from './factors.ts'
import type { Group, HostGroup } from './group.ts'
import type { Factored } from './lane-gradients.ts'
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
  /** Gradients that are not written. */
  readonly factored: (WideGradient & { readonly network: string })[] = []
  readonly #gathers: (() => Promise<number>)[] = []
  /** By network. */
  readonly #squares: ReadonlyMap<string, SettledSquares>

  constructor(state: ModelState, group: Group, step: number, phase: Phase, index: number) {
    this.#state = state
    this.#group = group
    this.#step = step
    this.#index = index
    this.#squares = new Map(phase.updates.map((network) => [network, new SettledSquares(state, network)]))
    this.#overlaps = group.host?.overlaps ?? true
    const buckets = bucketsOf(
      state,
      phase,
      this.#overlaps ? limits.bucketBytes : Number.POSITIVE_INFINITY,
      this.#factors,
    )
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

  /** Told of factors that are there in place of a gradient; null: none are wanted. */
  get takeFactors(): Factored | null {
    const { host } = this.#group
    if (!this.#factors || !host) return null
    return (parameter, rows) => {
      const bucket = [...this.#waiting.keys()].find(({ slots: [slot] }) => slot?.name === parameter)
      const [slot] = bucket?.slots ?? []
      assert(bucket && slot, 'a gradient of which the factors travel has a bucket of its own')
      this.#waiting.delete(bucket)
      const place = { step: this.#step, index: this.#index, rows }
      this.#gathers.push(gatherFactors(this.#state, host, parameter, place))
      const all = rows.reduce((sum, own) => sum + own, 0)
      this.factored.push({ parameter, rows: all, network: bucket.network })
      this.#squares.get(bucket.network)?.settled(bucket.offset / 4, bucket.count, true)
    }
  }

  /** Main threads reduce, of workers that can all do so. */
  get #factors(): boolean {
    return !this.#overlaps && this.#group.host?.factors === true
  }

  /** All gradients are there, each in so many partial sums, or their factors. Settles with the bytes that this rank sent. */
  async rest(parts: number): Promise<number> {
    const { host } = this.#group
    for (const bucket of [...this.#waiting.keys()]) {
      const here = host && (bucket.hasTail || !host.overlaps) ? host : null
      const sent = this.#send(bucket, parts, here ?? this.#group)
      if (here) await sent
    }
    for (const gathered of this.#gathers) this.#sent.push(gathered())
    return (await Promise.all(this.#sent)).reduce((sum, bytes) => sum + bytes, 0)
  }

  #send(bucket: Bucket, parts: number, { allReduce }: Pick<HostGroup, 'allReduce'>): Promise<number> {
    this.#waiting.delete(bucket)
    for (const { name } of bucket.slots) this.#state.written(name)
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
