import { assert } from '../../shared/core/errors.ts'
import type { Ops } from '../backend/backend.ts'
import type { Differentiable } from './image-operations.ts'
import { concatColumns, div, leakyRelu, sqrt, sumTo } from './operations.ts'
import type { Primitives, Shaped } from './primitives.ts'
import type { Traced } from './traced.ts'

type Recorded =
  | 'add'
  | 'sub'
  | 'mul'
  | 'scale'
  | 'neg'
  | 'exp'
  | 'square'
  | 'softplus'
  | 'sigmoid'
  | 'relu'
  | 'tanh'
  | 'sum'
  | 'reshape'
  | 'conv2d'
  | 'avgPool'
  | 'concatRows'
  | 'rows'
  | 'input'

/** What records operations: a tape. */
type Recorder<T extends Shaped> = { apply(operation: Differentiable<T>): Traced<T> } & {
  [Name in Recorded]: (...operands: Parameters<Ops[Name]>) => Traced<T>
}

/**
 * A tape's own operations as the primitives of another tape inside it: what the inner one does, backward pass included, is
 * recorded on the outer one, so a gradient can be differentiated again.
 */
export function nestedPrimitives<T extends Shaped>(tape: Recorder<T>, p: Primitives<T>): Primitives<Traced<T>> {
  const apply = (operation: Differentiable<T>) => tape.apply(operation)
  const once = (name: string) => (): never => {
    assert(false, `${name} has a second derivative`)
  }
  return {
    matMul: (a, b, transposeA, transposeB) => apply(matMul(p, a, b, transposeA, transposeB)),
    addBias: (x, bias) => tape.add(x, bias),
    affine: () => null,
    add: (a, b) => tape.add(a, b),
    sub: (a, b) => tape.sub(a, b),
    mul: (a, b) => tape.mul(a, b),
    div: (a, b) => apply(div(p, a, b)),
    scale: (a, factor) => tape.scale(a, factor),
    neg: (a) => tape.neg(a),
    exp: (a) => tape.exp(a),
    square: (a) => tape.square(a),
    sqrt: (a) => apply(sqrt(p, a)),
    softplus: (a) => tape.softplus(a),
    softplusGradient: (dy, x) => tape.mul(dy, tape.sigmoid(x)),
    sigmoid: (a) => tape.sigmoid(a),
    log: (a) => apply({ value: p.log(a.value), inputs: [a], backward: (dy) => [p.div(dy, a.value)] }),
    maximum: once('maximum'),
    oneMinus: (a) => apply({ value: p.oneMinus(a.value), inputs: [a], backward: (dy) => [p.neg(dy)] }),
    relu: (a) => tape.relu(a),
    // The slope of relu is flat: only dy has a gradient.
    reluGradient: (dy, y) =>
      apply({ value: p.reluGradient(dy.value, y.value), inputs: [dy], backward: (g) => [p.reluGradient(g, y.value)] }),
    leakyRelu: (a) => apply(leakyRelu(p, a)),
    leakyReluGradient: (dy, x) =>
      apply({
        value: p.leakyReluGradient(dy.value, x.value),
        inputs: [dy],
        backward: (g) => [p.leakyReluGradient(g, x.value)],
      }),
    tanh: (a) => tape.tanh(a),
    tanhGradient: (dy, y) => apply(tanhGradient(p, dy, y)),
    sum: (a) => tape.sum(a),
    sumTo: (a, shape) => apply(sumTo(p, a, shape)),
    fill: (scalar, shape) =>
      apply({
        value: p.fill(scalar.value, shape),
        inputs: [scalar],
        backward: (dy) => [p.reshape(p.sum(dy), scalar.shape)],
      }),
    logSoftmax: once('logSoftmax'),
    reshape: (a, shape) => tape.reshape(a, shape),
    conv2d: (x, kernel, strided) => tape.conv2d(x, kernel, strided),
    conv2dInputGradient: (dy, kernel, strided, shape) =>
      apply({
        value: p.conv2dInputGradient(dy.value, kernel.value, strided, shape),
        inputs: [dy, kernel],
        backward: (g) => [
          dy.node ? p.conv2d(g, kernel.value, strided) : null,
          kernel.node ? p.conv2dKernelGradient(dy.value, g, strided, kernel.shape) : null,
        ],
      }),
    conv2dKernelGradient: (dy, x, strided, shape) =>
      apply({
        value: p.conv2dKernelGradient(dy.value, x.value, strided, shape),
        inputs: [dy, x],
        backward: (g) => [
          dy.node ? p.conv2d(x.value, g, strided) : null,
          x.node ? p.conv2dInputGradient(dy.value, g, strided, x.shape) : null,
        ],
      }),
    maxPool: once('maxPool'),
    maxPoolGradient: once('maxPool'),
    avgPool: (x, pooling) => tape.avgPool(x, pooling),
    avgPoolGradient: (dy, shape, pooling) =>
      apply({
        value: p.avgPoolGradient(dy.value, shape, pooling),
        inputs: [dy],
        backward: (g) => [p.avgPool(g, pooling)],
      }),
    concatRows: (a, b) => tape.concatRows(a, b),
    rows: (a, start, count) => tape.rows(a, start, count),
    padRows: (a, start, total) =>
      apply({
        value: p.padRows(a.value, start, total),
        inputs: [a],
        backward: (dy) => [p.rows(dy, start, a.shape[0] ?? 0)],
      }),
    concatColumns: (a, b) => apply(concatColumns(p, a, b)),
    columns: (a, start, count) =>
      apply({
        value: p.columns(a.value, start, count),
        inputs: [a],
        backward: (dy) => [padColumns(p, dy, start, a.shape)],
      }),
    input: (values, shape) => tape.input(values, shape),
    free: () => {}, // the outer tape's backward pass may need it
  }
}

/** dx and dy of op(a) · op(b). */
function matMul<T extends Shaped>(
  p: Primitives<T>,
  a: Traced<T>,
  b: Traced<T>,
  transposeA: boolean,
  transposeB: boolean,
): Differentiable<T> {
  return {
    value: p.matMul(a.value, b.value, transposeA, transposeB),
    inputs: [a, b],
    backward: (dy) => [
      a.node
        ? transposeA
          ? p.matMul(b.value, dy, transposeB, true)
          : p.matMul(dy, b.value, false, !transposeB)
        : null,
      b.node
        ? transposeB
          ? p.matMul(dy, a.value, true, transposeA)
          : p.matMul(a.value, dy, !transposeA, false)
        : null,
    ],
  }
}

/** t = dy (1 − y²): ∂t/∂y = −2 y dy. */
function tanhGradient<T extends Shaped>(p: Primitives<T>, dy: Traced<T>, y: Traced<T>): Differentiable<T> {
  return {
    value: p.tanhGradient(dy.value, y.value),
    inputs: [dy, y],
    backward: (g) => [
      dy.node ? p.tanhGradient(g, y.value) : null,
      y.node ? p.scale(p.mul(p.mul(g, dy.value), y.value), -2) : null,
    ],
  }
}

/** The columns of `a` from `start` on within zeros of this shape. */
function padColumns<T extends Shaped>(p: Primitives<T>, a: T, start: number, shape: readonly number[]): T {
  const [count, total] = [a.shape.at(-1) ?? 0, shape.at(-1) ?? 0]
  const zeros = (columns: number) => p.fill(p.input(Float32Array.of(0), []), [...shape.slice(0, -1), columns])
  const right = total - start - count
  const padded = start > 0 ? p.concatColumns(zeros(start), a) : a
  return right > 0 ? p.concatColumns(padded, zeros(right)) : padded
}
