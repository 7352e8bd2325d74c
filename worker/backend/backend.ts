import type { RunConfig } from '../../shared/core/config.ts'
import type { FileMapping } from '../../shared/transport/file-windows.ts'

/** A tensor of some backend; models only pass it on. */
export interface Tensor {
  readonly shape: readonly number[]
}

/** How a window moves over an image. `same`: ⌈extent / stride⌉ places, zeros around; `valid`: inside the image only. */
export interface Strided {
  readonly stride: number
  readonly padding: 'same' | 'valid'
}

export interface Pooling extends Strided {
  /** Edge of the square window. */
  readonly size: number
}

/** What a dense layer may end in, for a backend to compute with it. */
export type DenseActivation = 'linear' | 'relu' | 'leakyRelu'

/** The operations that models and losses are written in. Shapes broadcast as in NumPy. */
export interface Ops {
  matMul(a: Tensor, b: Tensor): Tensor
  /** activation(x · kernel + bias), `linear` if left out; x [rows, in], kernel [in, out], bias [out]. */
  dense(x: Tensor, kernel: Tensor, bias: Tensor, activation?: DenseActivation): Tensor
  add(a: Tensor, b: Tensor): Tensor
  sub(a: Tensor, b: Tensor): Tensor
  mul(a: Tensor, b: Tensor): Tensor
  div(a: Tensor, b: Tensor): Tensor
  scale(a: Tensor, factor: number): Tensor
  neg(a: Tensor): Tensor
  exp(a: Tensor): Tensor
  square(a: Tensor): Tensor
  sqrt(a: Tensor): Tensor
  /** log(1 + e^a), stable for large |a|. */
  softplus(a: Tensor): Tensor
  /**
   * Σ softplus(logit) − x · logit, a scalar: −log p of x in 0…1 under Bernoulli distributions with these logits.
   * Same shapes; no gradient goes to x.
   */
  bernoulli(logits: Tensor, x: Tensor): Tensor
  relu(a: Tensor): Tensor
  /** a above 0, else 0.2 a. */
  leakyRelu(a: Tensor): Tensor
  /** Over all values of a sample, then by channel: x [rows, …, channels], scale and offset [channels]. */
  layerNorm(x: Tensor, scale: Tensor, offset: Tensor): Tensor
  tanh(a: Tensor): Tensor
  sigmoid(a: Tensor): Tensor
  /** Sum of all elements, a scalar. */
  sum(a: Tensor): Tensor
  /** Sums over the axes that `shape` has not, or where it has 1. */
  sumTo(a: Tensor, shape: readonly number[]): Tensor
  reshape(a: Tensor, shape: readonly number[]): Tensor
  /** x [rows, height, width, in], kernel [height, width, in, out], without turning it over; a bias [out] is added by `add`. */
  conv2d(x: Tensor, kernel: Tensor, strided: Strided): Tensor
  /**
   * The gradient of `conv2d` with respect to its input: x [rows, height, width, in], kernel [height, width, out, in] →
   * [rows, height · stride, width · stride, out] for `same`, (extent − 1) · stride + kernel extent for `valid`.
   */
  conv2dTranspose(x: Tensor, kernel: Tensor, strided: Strided): Tensor
  /** x [rows, height, width, channels]. */
  maxPool(x: Tensor, pooling: Pooling): Tensor
  /** Means; zeros around the image do not count. */
  avgPool(x: Tensor, pooling: Pooling): Tensor
  /**
   * −Σ target · log softmax(logits), a scalar; both [rows, classes], each row of the targets sums to 1. No gradient goes to
   * the targets.
   */
  softmaxCrossEntropy(logits: Tensor, targets: Tensor): Tensor
  concatRows(a: Tensor, b: Tensor): Tensor
  /** Rows [start, start + count): of the first axis. */
  rows(a: Tensor, start: number, count: number): Tensor
  /** Along the last axis; the other extents agree. */
  concatColumns(a: Tensor, b: Tensor): Tensor
  /** Columns [start, start + count): of the last axis. */
  columns(a: Tensor, start: number, count: number): Tensor
  /**
   * d Σ f(x) / d x, x being a constant: of its shape, and differentiable again with respect to the parameters. The function
   * gets operations and parameters of its own; it can go through whatever has a second derivative, which is all but pooling
   * by maxima, `bernoulli` and `softmaxCrossEntropy`.
   */
  inputGradient(parameters: Parameters, x: Tensor, f: InputFunction): Tensor
  input(values: Float32Array, shape: readonly number[]): Tensor
}

export type InputFunction = (ops: Ops, parameters: Parameters, x: Tensor) => Tensor

export interface Evaluation {
  /** Scalar to minimise. */
  readonly loss: Tensor
  /** Further scalars to report, by name. */
  readonly scalars: Readonly<Record<string, Tensor>>
}

export interface ParameterView {
  readonly name: string
  readonly shape: readonly number[]
  /** The weights in the flat buffer; 64-byte aligned. */
  readonly weights: Float32Array
}

export interface GradientTarget {
  readonly parameter: Tensor
  /** Where d loss / d parameter goes. */
  readonly gradient: Float32Array
  /**
   * Set where another thread computes with other rows and adds to the same place: words of a shared memory from `first` on, 0 before
   * the phase, by which they take turns.
   */
  readonly turns?: { readonly words: Int32Array; readonly first: number }
  /** Set where, in place of a gradient that is aᵀ · dy, these two are wanted; a backend may write the gradient all the same. */
  readonly factors?: Factors | null
}

/** a [rows, inputs] and dy [rows, outputs]; 64-byte aligned. */
export interface Factors {
  readonly rows: number
  readonly a: Float32Array
  readonly dy: Float32Array
}

export interface Rows {
  readonly start: number
  readonly count: number
}

/** Words of each target. */
export const turnsEach = 64

export type Parameters = ReadonlyMap<string, Tensor>

/** Where tensors are computed. Reads are asynchronous, since some devices allow no other. */
export interface Backend {
  readonly name: string
  readonly version: string
  readonly ops: Ops
  /** Before the first operation. The products there will be: float32 where bfloat16 would only be slower. Throws a RingleaderError where this backend has no such products. */
  useMath(math: RunConfig['math']): RunConfig['math']
  /** Tensors over the flat weights; call `refresh` after the weights changed. */
  bind(views: readonly ParameterView[]): BoundParameters
  /**
   * Runs `evaluate`, writes d loss / d parameter into each target, and returns the scalars, `loss` among them. `ready` is told
   * of each target as soon as its gradient is there, while the others are still computed; `factored`, if its factors are instead.
   */
  gradients<T extends GradientTarget>(
    evaluate: () => Evaluation,
    targets: readonly T[],
    ready?: (target: T) => void,
    factored?: (target: T) => void,
  ): Promise<Record<string, number>>
  /**
   * Rows [start, start + count) of aᵀ · dy to the beginning of `into`, for each piece in turn; `made` is told of each before the next comes. Left out,
   * like the next one, by backends that write no factors.
   */
  productRows?(factors: Factors, into: Float32Array, pieces: readonly Rows[], made: (piece: Rows) => void): void
  /**
   * What these rows i add to ‖aᵀ · dy‖² = Σ (a · aᵀ) ∘ (dy · dyᵀ), both of which are symmetric: elements (i, j) with j ≥ the first of them, those right of
   * the square on the diagonal twice.
   */
  productSquares?(factors: Factors, rows: Rows): number
  /** Computes one tensor without gradients and reads it. */
  compute(run: () => Tensor): Promise<Float32Array>
  /** Computes one tensor without gradients and keeps it until it is released. */
  hold(run: () => Tensor): HeldTensor
  /** Whether gradients are added in place, by threads that take turns. */
  readonly takesTurns: boolean
  tensorCount(): number
  /** Of a backend whose addon can map files over memory. */
  readonly mapping?: FileMapping
  /** Of a backend that computes on a device with a memory of its own. */
  deviceUse?(): DeviceUse
}

/** How a device has been used since the backend was opened. */
export interface DeviceUse {
  /** In which the host handed weights over. */
  readonly uploadSeconds: number
  /** In which it read what was computed, and waited for it. */
  readonly readSeconds: number
  /** In which its kernels computed, estimated; 0 where that is not known. */
  readonly kernelSeconds: number
  /** Of its memory that are allocated; null where that is not known. */
  readonly bytes: number | null
}

export interface HeldTensor {
  readonly tensor: Tensor
  release(): void
}

export interface BoundParameters {
  readonly tensors: Parameters
  /** True where tensors share the flat buffer's memory, so that an update needs no upload. */
  readonly aliased: boolean
  refresh(names: readonly string[]): Parameters
  dispose(): void
}
