import type { BoundParameters, ParameterView, Tensor } from './backend.ts'

interface Makers<T extends Tensor> {
  make(view: ParameterView): T
  /** The tensor with the new weights, in place of this one. */
  renew(tensor: T, view: ParameterView): T
  release(tensor: T): void
}

/** Tensors over the flat weights, renewed when the weights have changed; those that share their memory, when they lie elsewhere. */
export function boundTensors<T extends Tensor>(
  views: readonly ParameterView[],
  aliased: boolean,
  { make, renew, release }: Makers<T>,
): BoundParameters & { readonly tensors: ReadonlyMap<string, T> } {
  const tensors = new Map(views.map((view) => [view.name, make(view)]))
  const memory = new Map(views.map(({ name, weights }) => [name, weights]))
  const byName = new Map(views.map((view) => [view.name, view]))
  return {
    tensors,
    aliased,
    refresh(names) {
      for (const name of names) {
        const [view, tensor] = [byName.get(name), tensors.get(name)]
        if (!view || !tensor || (aliased && memory.get(name) === view.weights)) continue
        memory.set(name, view.weights)
        tensors.set(name, renew(tensor, view))
      }
      return tensors
    },
    dispose() {
      for (const tensor of tensors.values()) release(tensor)
    },
  }
}
