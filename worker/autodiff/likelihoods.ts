import type { Differentiable } from './image-operations.ts'
import type { Primitives, Shaped } from './primitives.ts'
import type { Traced } from './traced.ts'

/**
 * softplus(l) = relu(l) − log sigmoid(|l|), and sigmoid(|l|) = max(s, 1 − s) with s = sigmoid(l): the gradient, s − x, needs s
 * anyway. The logarithm's argument is at least ½, so nothing overflows.
 */
export function bernoulli<T extends Shaped>(
  p: Primitives<T>,
  logits: Traced<T>,
  { value: x }: Traced<T>,
): Differentiable<T> {
  const l = logits.value
  const s = p.sigmoid(l)
  const logs = p.sum(p.log(p.maximum(s, p.oneMinus(s))))
  const lines = p.sum(p.sub(p.relu(l), p.mul(x, l)))
  return { value: p.sub(lines, logs), inputs: [logits], backward: (dy) => [p.mul(p.sub(s, x), dy)] }
}

export function softmaxCrossEntropy<T extends Shaped>(
  p: Primitives<T>,
  logits: Traced<T>,
  { value: targets }: Traced<T>,
): Differentiable<T> {
  const logs = p.logSoftmax(logits.value)
  return {
    value: p.neg(p.sum(p.mul(targets, logs))),
    inputs: [logits],
    backward: (dy) => [p.mul(p.sub(p.exp(logs), targets), dy)],
  }
}
