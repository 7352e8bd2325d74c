import type { Tensor } from '../backend/backend.ts'
import type { Shaped } from './primitives.ts'

/** A value, and where it came from if a gradient has to go back there. */
export interface Traced<T extends Shaped> extends Tensor {
  readonly value: T
  /** Null: nothing that gradients are wanted for went in. */
  node: Node<T> | null
}

export interface Node<T extends Shaped> {
  readonly inputs: readonly Traced<T>[]
  /** d loss / d input for each input that has a node, given d loss / d output; null: a leaf. */
  readonly backward: ((dy: T) => readonly (T | null)[]) | null
  /** Set for a product with a parameter on the right, whose gradient aᵀ · dy may be written where it belongs at once. */
  readonly product: { readonly a: T; readonly parameter: Node<T>; readonly bias?: Node<T> } | null
  gradient: T | null
  /** Nodes that read this one and have not been gone back through yet. */
  readers: number
  /** The output, freed once nothing needs it any more; null where others own it. */
  output: T | null
}

/** Where the gradients of parameters go, each as soon as it is whole. */
export interface GradientSink<T extends Shaped> {
  gradient(target: number, gradient: T): void
  /** The gradient is aᵀ · dy and has not been computed yet; `bias`: its last row is that of this target. */
  product(target: number, a: T, dy: T, bias?: number): void
}

/** Models pass on what they were given, and that came from here. */
export function traced<T extends Shaped>(tensor: Tensor): Traced<T> {
  return tensor as Traced<T>
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, index) => extent === b[index])
}
