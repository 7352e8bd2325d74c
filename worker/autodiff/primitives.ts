import type { DenseActivation, Pooling, Strided } from '../backend/backend.ts'

/** What every tensor of every backend has. */
export interface Shaped {
  readonly shape: readonly number[]
}

/**
 * What a backend has to compute: the operations that models are written in, and those that their gradients are made of. No
 * gradients here (tape.ts). T is the backend's own tensor.
 */
export interface Primitives<T extends Shaped> {
  /** op(a) · op(b), op being the transpose where asked for. Matrices. */
  matMul(a: T, b: T, transposeA: boolean, transposeB: boolean): T
  /** x [rows, n] + bias [n]. */
  addBias(x: T, bias: T): T
  /**
   * x · kernel + bias as one product of `a` = [x, 1] with the matrix that kernel and bias make up, where they lie one behind
   * the other and `x` came from outside; null: elsewhere.
   */
  affine(x: T, kernel: T, bias: T): { readonly y: T; readonly a: T } | null
  /** activation(x · kernel + bias) in one operation; null, or left out: there is none. */
  dense?(x: T, kernel: T, bias: T, activation: DenseActivation): T | null
  /** Elementwise; the smaller shape is broadcast as in NumPy. */
  add(a: T, b: T): T
  sub(a: T, b: T): T
  mul(a: T, b: T): T
  div(a: T, b: T): T
  scale(a: T, factor: number): T
  neg(a: T): T
  exp(a: T): T
  square(a: T): T
  sqrt(a: T): T
  softplus(a: T): T
  /** dy · sigmoid(x). */
  softplusGradient(dy: T, x: T): T
  sigmoid(a: T): T
  log(a: T): T
  /** Elementwise. */
  maximum(a: T, b: T): T
  oneMinus(a: T): T
  relu(a: T): T
  /** dy where y = relu(x) is above 0, else 0. */
  reluGradient(dy: T, y: T): T
  /** 0.2 a where a is below 0. */
  leakyRelu(a: T): T
  /** dy where x is above 0, else 0.2 dy. */
  leakyReluGradient(dy: T, x: T): T
  tanh(a: T): T
  /** dy (1 − y²), y = tanh(x). */
  tanhGradient(dy: T, y: T): T
  /** Sum of all elements, a scalar. */
  sum(a: T): T
  /** Sum over what broadcasting had added to `shape`. */
  sumTo(a: T, shape: readonly number[]): T
  /** A scalar in every place of `shape`. */
  fill(scalar: T, shape: readonly number[]): T
  /** x − log Σ e^x, row by row. */
  logSoftmax(a: T): T
  reshape(a: T, shape: readonly number[]): T
  /** x [rows, height, width, in], kernel [height, width, in, out]. */
  conv2d(x: T, kernel: T, strided: Strided): T
  /** d Σ dy · conv2d(x, kernel) / d x, x of this shape. */
  conv2dInputGradient(dy: T, kernel: T, strided: Strided, shape: readonly number[]): T
  /** d Σ dy · conv2d(x, kernel) / d kernel, a kernel of this shape. */
  conv2dKernelGradient(dy: T, x: T, strided: Strided, shape: readonly number[]): T
  maxPool(x: T, pooling: Pooling): T
  /** dy at the first place of each window where x = y. */
  maxPoolGradient(dy: T, x: T, y: T, pooling: Pooling): T
  avgPool(x: T, pooling: Pooling): T
  avgPoolGradient(dy: T, shape: readonly number[], pooling: Pooling): T
  concatRows(a: T, b: T): T
  /** [start, start + count) of the first axis. */
  rows(a: T, start: number, count: number): T
  /** The rows of `a` from `start` on within `total` rows of zeros. */
  padRows(a: T, start: number, total: number): T
  /** Along the last axis. */
  concatColumns(a: T, b: T): T
  /** [start, start + count) of the last axis. */
  columns(a: T, start: number, count: number): T
  input(values: Float32Array, shape: readonly number[]): T
  /** Gives memory back early; whatever is left goes at the end of the evaluation. */
  free(a: T): void
}
