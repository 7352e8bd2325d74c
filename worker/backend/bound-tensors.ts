import type { BoundParameters, ParameterView, Tensor } from './backend.ts'

/** Tensors over the flat weights, made again by `make` when the weights have changed, unless they share their memory. */
export function boundTensors<T extends Tensor>(
  views: readonly ParameterView[],
  aliased: boolean,
  { make, release }: { make(view: ParameterView): T; release(tensor: T): void },
): BoundParameters & { readonly tensors: ReadonlyMap<string, T> } {
  const tensors = new Map(views.map((view) => [view.name, make(view)]))
  const byName = new Map(views.map((view) => [view.name, view]))
  const drop = (name: string) => {
    const tensor = tensors.get(name)
    if (tensor) release(tensor)
  }
  return {
    tensors,
    aliased,
    refresh(names) {
      if (aliased) return tensors
      for (const name of names) {
        const view = byName.get(name)
        if (!view) continue
        drop(name)
        tensors.set(name, make(view))
      }
      return tensors
    },
    dispose() {
      for (const name of tensors.keys()) drop(name)
    },
  }
}
