import { createHash } from 'node:crypto'
import type { RunConfig } from '../../shared/core/config.ts'
import { RingleaderError } from '../../shared/core/errors.ts'
import { decodeSafetensors, encodeSafetensors, type NamedTensor } from '../../shared/core/safetensors.ts'
import type { ModelState, WeightSlot } from './model-state.ts'

/** A whole state: that of a worker, or those of all stages of a pipeline together. */
export type HeldState = Pick<ModelState, 'slots' | 'averages' | 'networks'>

const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1)

/** Weights and moving averages in name order. */
const sortedSlots = ({ slots, averages }: HeldState): WeightSlot[] => [...slots, ...averages].sort(byName)

/** SHA-256 over the weights' bytes in name order. */
export function weightsSha256(state: HeldState): string {
  const hash = createHash('sha256')
  for (const slot of sortedSlots(state))
    hash.update(new Uint8Array(slot.weights.buffer, slot.weights.byteOffset, slot.weights.byteLength))
  return hash.digest('hex')
}

export interface CheckpointFiles {
  readonly weights: Uint8Array
  readonly optimizer: Uint8Array
  readonly optimizerSteps: Record<string, number>
}

/** A copy of the whole state as two safetensors files, rounded where `dtype` is bf16; training may go on while they travel. */
export function encodeCheckpoint(state: HeldState, dtype: RunConfig['checkpointDtype'] = 'fp32'): CheckpointFiles {
  const encode = (tensors: NamedTensor[]) => encodeSafetensors(tensors, undefined, dtype === 'bf16' ? 'BF16' : 'F32')
  const slots = [...state.slots].sort(byName)
  return {
    weights: encode(
      sortedSlots(state).map((slot) => ({ name: slot.name, shape: [...slot.shape], data: slot.weights })),
    ),
    optimizer: encode(
      slots.flatMap((slot) => [
        { name: `${slot.name}/moment1`, shape: [...slot.shape], data: slot.moment1 },
        { name: `${slot.name}/moment2`, shape: [...slot.shape], data: slot.moment2 },
      ]),
    ),
    optimizerSteps: Object.fromEntries([...state.networks].map(([name, network]) => [name, network.counter[0] ?? 0])),
  }
}

/** Puts a checkpoint's files into the state; every tensor must be there with its shape. `optimizer` null: weights only. */
export function restoreCheckpoint(
  state: ModelState,
  weights: Uint8Array,
  optimizer: Uint8Array | null,
  optimizerSteps: Record<string, number>,
): void {
  const tensors = new Map([
    ...decodeSafetensors(weights).tensors,
    ...(optimizer ? decodeSafetensors(optimizer).tensors : []),
  ])
  const put = (name: string, shape: readonly number[], target: Float32Array) => {
    const tensor = tensors.get(name)
    if (!tensor || tensor.shape.join() !== shape.join()) {
      const found = tensor ? `has shape [${tensor.shape}]` : 'is missing'
      throw new RingleaderError(
        'checkpoint-mismatch',
        `tensor ${name} of the checkpoint ${found}; this model needs [${shape}]`,
      )
    }
    target.set(tensor.data)
  }
  for (const slot of state.allSlots()) put(slot.name, slot.shape, slot.weights)
  for (const slot of optimizer ? state.slots : []) {
    put(`${slot.name}/moment1`, slot.shape, slot.moment1)
    put(`${slot.name}/moment2`, slot.shape, slot.moment2)
  }
  for (const [name, network] of state.networks) network.counter[0] = optimizerSteps[name] ?? 0
}
