import type { ModelState } from './model-state.ts'

/**
 * One power iteration for each kernel of a network that is divided by its spectral norm. The vectors are part of the state and follow
 * from the weights by the same arithmetic on every host, so all ranks hold the same ones.
 */
export function iterateSpectralNorms(state: ModelState, network: string): void {
  const slots = state.slots.filter((slot) => slot.network === network)
  for (const [index, kernel] of slots.entries()) {
    const [left, right] = [slots[index + 2], slots[index + 3]] // kernel, bias, left, right (shared/model/parameters.ts)
    if (kernel.role !== 'kernel' || left?.role !== 'singularVector' || !right) continue
    const [rows, columns] = [left.size, right.size]
    state.kernel.powerIteration(
      kernel.weights.byteOffset,
      rows,
      columns,
      left.weights.byteOffset,
      right.weights.byteOffset,
    )
  }
}
