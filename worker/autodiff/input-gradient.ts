import { assert } from '../../shared/core/errors.ts'
import type { Evaluation, InputFunction, Ops, Parameters } from '../backend/backend.ts'
import type { Shaped } from './primitives.ts'
import type { GradientSink, Traced } from './traced.ts'

/** A tape whose values are those of another one. */
interface InnerTape<T extends Shaped> extends Ops {
  leaf(value: Traced<T>): Traced<Traced<T>>
  gradients(
    evaluate: () => Evaluation,
    targets: readonly Traced<Traced<T>>[],
    sink: GradientSink<Traced<T>>,
  ): Evaluation
}

/** d Σ f(x) / d x by a tape inside the one that x belongs to, which records the way there and back. */
export function inputGradient<T extends Shaped>(
  inner: InnerTape<T>,
  parameters: ReadonlyMap<string, Traced<T>>,
  x: Traced<T>,
  f: InputFunction,
): Traced<T> {
  const target = inner.leaf(x)
  const lifted: Parameters = new Map([...parameters].map(([name, value]) => [name, inner.leaf(value)]))
  let found: Traced<T> | null = null
  const sink: GradientSink<Traced<T>> = {
    gradient(_target, gradient) {
      found = gradient
    },
    product: () => assert(false, 'x is the left side of products'),
  }
  inner.gradients(() => ({ loss: inner.sum(f(inner, lifted, target)), scalars: {} }), [target], sink)
  assert(found, 'the gradient is there')
  return found
}
