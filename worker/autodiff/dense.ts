import type { DenseActivation } from '../backend/backend.ts'
import type { Primitives, Shaped } from './primitives.ts'
import type { Node, Traced } from './traced.ts'

type Product<T extends Shaped> = NonNullable<Node<T>['product']>

/** What a tape records. */
export interface Recorder<T extends Shaped> {
  /** `output`: what is freed once nothing needs it any more, the value itself if it is left out; null: another record has the same value. */
  record(
    value: T,
    inputs: readonly Traced<T>[],
    backward: (dy: T) => readonly (T | null)[],
    product?: Product<T> | null,
    output?: T | null,
  ): Traced<T>
  /** The parameter's gradient is this one product: nothing was added before, and nothing else reads it. */
  isDirect(product: Product<T>): boolean
}

/** x · y, whose value is there already. */
export function product<T extends Shaped>(
  p: Primitives<T>,
  tape: Recorder<T>,
  [x, y]: readonly [Traced<T>, Traced<T>],
  value: T,
  output: T | null = value,
): Traced<T> {
  const direct = y.node && y.node.backward === null ? { a: x.value, parameter: y.node } : null
  return tape.record(
    value,
    [x, y],
    (dy) => [
      x.node ? p.matMul(dy, y.value, false, true) : null,
      y.node && !(direct && tape.isDirect(direct)) ? p.matMul(x.value, dy, true, false) : null,
    ],
    direct,
    output,
  )
}

/**
 * activation(x · kernel + bias). Where the backend computes it at once the three records share that value: none of them needs what it
 * would have been before the next one. With kernel and bias in one matrix (`affine`) their gradients are one product; without gradients
 * that has no use.
 */
export function dense<T extends Shaped>(
  p: Primitives<T>,
  tape: Recorder<T>,
  [x, kernel, bias]: readonly [Traced<T>, Traced<T>, Traced<T>],
  activation: DenseActivation,
): Traced<T> {
  const wanted = kernel.node !== null || bias.node !== null || !p.dense
  const affine = x.node === null && wanted ? p.affine(x.value, kernel.value, bias.value) : null
  if (affine) return activated(p, tape, joined(p, tape, affine, kernel, bias), activation)
  const whole = p.dense?.(x.value, kernel.value, bias.value, activation) ?? null
  const linear = whole
    ? product(p, tape, [x, kernel], whole, null)
    : product(p, tape, [x, kernel], p.matMul(x.value, kernel.value, false, false))
  const biased = tape.record(whole ?? p.addBias(linear.value, bias.value), [linear, bias], (dy) => [
    dy,
    bias.node ? p.sumTo(dy, bias.shape) : null,
  ])
  return activated(p, tape, biased, activation, whole)
}

/** `y`: the value, if it is there already. */
function activated<T extends Shaped>(
  p: Primitives<T>,
  tape: Recorder<T>,
  x: Traced<T>,
  activation: DenseActivation,
  y: T | null = null,
): Traced<T> {
  if (activation === 'linear') return x
  const value = y ?? p[activation](x.value)
  // Each is above 0 where its input is.
  const gradient = activation === 'relu' ? p.reluGradient : p.leakyReluGradient
  return tape.record(value, [x], (dy) => [gradient(dy, value)], null, y ? null : value)
}

function joined<T extends Shaped>(
  p: Primitives<T>,
  tape: Recorder<T>,
  { y, a }: { readonly y: T; readonly a: T },
  kernel: Traced<T>,
  bias: Traced<T>,
): Traced<T> {
  const direct = kernel.node && bias.node ? { a, parameter: kernel.node, bias: bias.node } : null
  return tape.record(
    y,
    [kernel, bias],
    (dy) => {
      if (direct && tape.isDirect(direct)) return []
      const both = p.matMul(a, dy, true, false)
      const inputs = kernel.shape[0] ?? 0
      return [p.rows(both, 0, inputs), p.sumTo(p.rows(both, inputs, 1), bias.shape)]
    },
    direct,
  )
}
