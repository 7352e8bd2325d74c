import type { RunConfig } from '../../shared/core/config.ts'
import { partOf } from '../../shared/core/prune-options.ts'
import type { ModelState, ParameterSlot } from '../step/model-state.ts'

/** Prunings of a run between its first and its last one, evenly spaced. */
const events = 50

/**
 * Part of the weights that is zero after a step (0-based): Zhu & Gupta 2017, eq. 1, from 0 at the beginning to `final` at the end, both as
 * parts of all steps. Null where nothing is pruned after this step. Behind the end it is asked for again, so that a skipped step is made up for.
 */
export function sparsityAt(
  { pruneBegin, pruneEnd }: Pick<RunConfig, 'pruneBegin' | 'pruneEnd'>,
  final: number,
  step: number,
  totalSteps: number,
): number | null {
  const begin = Math.floor(pruneBegin * totalSteps)
  const end = Math.min(totalSteps - 1, Math.floor(pruneEnd * totalSteps))
  const every = Math.max(1, Math.floor((end - begin) / events))
  if (final === 0 || step < begin || ((step - begin) % every !== 0 && step !== end)) return null
  const done = end === begin ? 1 : Math.min(1, (step - begin) / (end - begin))
  return final * (1 - (1 - done) ** 3)
}

/**
 * The mask of a pruned kernel is its zeros, so it is wherever the weights are: in checkpoints, in what a joining worker fetches, in the hash.
 * A weight without gradient and moments stays zero in every optimizer; this clears the reduced gradients of those that are.
 */
export function maskGradients(config: RunConfig, state: ModelState, network: string): void {
  for (const { weights, gradients, size } of prunedSlots(config, state, network))
    state.kernel.mask(gradients[0]?.byteOffset ?? 0, weights.byteOffset, size)
}

/** Zeroes the smallest weights of a network's kernels, with their moments and averages, up to the sparsity of the step. */
export function pruneNetwork(
  config: RunConfig,
  state: ModelState,
  name: string,
  step: number,
  totalSteps: number,
): void {
  for (const slot of prunedSlots(config, state, name)) {
    const sparsity = sparsityAt(config, partOf(config.prune, slot.name), step, totalSteps)
    if (sparsity === null) continue
    zeroSmallest(slot.weights, Math.round(sparsity * slot.size))
    const average = state.averages.find((other) => other.network === name && pathOf(other) === pathOf(slot))?.weights
    for (let at = 0; at < slot.size; at++) {
      if (slot.weights[at] !== 0) continue
      slot.moment1[at] = 0
      slot.moment2[at] = 0
      if (average) average[at] = 0
    }
  }
}

/** Part of the weights of a network's pruned kernels that is zero; null where none is pruned. */
export function sparsityOf(config: RunConfig, state: ModelState, name: string): number | null {
  const slots = prunedSlots(config, state, name)
  const size = slots.reduce((sum, slot) => sum + slot.size, 0)
  let zeros = 0
  for (const { weights } of slots) for (const weight of weights) if (weight === 0) zeros++
  return size === 0 ? null : zeros / size
}

function prunedSlots(config: RunConfig, state: ModelState, name: string): ParameterSlot[] {
  return state.slots.filter(
    (slot) => slot.role === 'kernel' && slot.network === name && partOf(config.prune, slot.name) > 0,
  )
}

/** layer/parameter */
const pathOf = ({ name }: { readonly name: string }): string => name.slice(name.indexOf('/') + 1)

/**
 * Zeroes the `count` values of smallest magnitude; of equal ones the first. Those that are zero count. Selected by the bits of the
 * magnitudes, which are in the order of the values: by the upper half, then by the lower one.
 */
export function zeroSmallest(values: Float32Array, count: number): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const high = countUpTo(
    words,
    count,
    (word) => (word & 0x7fff_ffff) >>> 16,
    () => true,
  )
  const low = countUpTo(
    words,
    count - high.below,
    (word) => word & 0xffff,
    (word) => (word & 0x7fff_ffff) >>> 16 === high.bucket,
  )
  const threshold = high.bucket * 0x1_0000 + low.bucket
  let equal = count - high.below - low.below
  for (let at = 0; at < words.length; at++) {
    const magnitude = (words[at] ?? 0) & 0x7fff_ffff
    if (magnitude < threshold || (magnitude === threshold && equal-- > 0)) values[at] = 0
  }
}

/** The bucket in which the value number `count` from below is, and how many are in those before it. */
function countUpTo(
  words: Uint32Array,
  count: number,
  bucketOf: (word: number) => number,
  counts: (word: number) => boolean,
): { bucket: number; below: number } {
  const buckets = new Uint32Array(0x1_0000)
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? 0
    if (counts(word)) buckets[bucketOf(word)] = (buckets[bucketOf(word)] ?? 0) + 1
  }
  let below = 0
  for (let bucket = 0; bucket < buckets.length; bucket++) {
    const inside = buckets[bucket] ?? 0
    if (below + inside >= count) return { bucket, below }
    below += inside
  }
  return { bucket: buckets.length - 1, below }
}
