import type { Phase } from '../model/model.ts'
import { type ModelState, type ParameterSlot, tail } from './model-state.ts'

/** Neighbouring gradients of a network that are reduced together, once all of them are there. */
export interface Bucket {
  /** Number within the phase. */
  readonly id: number
  readonly network: string
  /** Where it begins, in bytes behind the network's gradient; before it where it holds the tail. */
  readonly offset: number
  /** Floats, padding included. */
  readonly count: number
  readonly slots: readonly ParameterSlot[]
  readonly hasTail: boolean
}

/**
 * The buckets of a phase, of at least so many bytes, in the order in which the backward pass fills them: from the last layer to the first. The tail, with the
 * losses and votes that are known at the end, travels with the first layer of the first network.
 * A gradient of which the factors may travel (`factored`) has a bucket of its own.
 */
export function bucketsOf(state: ModelState, phase: Phase, bucketBytes: number, factored: boolean): Bucket[] {
  const buckets: Bucket[] = []
  for (const name of [...phase.updates].reverse()) {
    const slots = state.slots.filter(({ network }) => network === name)
    const base = slots[0]?.weights.byteOffset ?? 0
    let end = state.network(name).count * 4
    let taken: ParameterSlot[] = []
    for (const [index, slot] of [...slots.entries()].reverse()) {
      taken.unshift(slot)
      const start = slot.weights.byteOffset - base
      const edge = factored && [slots[index - 1], slot].some((near) => near && state.factors.has(near.name))
      if (index > 0 && end - start < bucketBytes && !edge) continue
      const hasTail = index === 0 && name === phase.updates[0]
      const offset = hasTail ? -tail.floats * 4 : start
      buckets.push({ id: buckets.length, network: name, offset, count: (end - offset) / 4, slots: taken, hasTail })
      end = start
      taken = []
    }
  }
  return buckets
}
