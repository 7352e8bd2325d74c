import type { Primitives } from '../../autodiff/primitives.ts'
import type { DenseActivation, Pooling, Strided } from '../backend.ts'
import { type Attribute, bfloat16, type Eager, type Handle } from './eager.ts'

/** Product of matrices: in float32 Eigen's kernel, `MatMul`; oneDNN's, `BatchMatMulV2`, is the one that knows bfloat16. */
export type MatMulOp = 'MatMul' | 'BatchMatMulV2'

/** By what products of matrices and convolutions are made; changes with `--math`. */
export interface Products {
  op: MatMulOp
  /** Convolutions take and make bfloat16: oneDNN's take no float32 for it, as its products of matrices do. */
  narrowConvolutions: boolean
}

/** Kernels and biases that lie one behind the other, as one matrix [in + 1, out]; by the id of the kernel. */
export type JoinedParameters = Map<number, { readonly matrix: Handle; readonly bias: number }>

/** Of so many elements oneDNN's kernel is ahead in float32 too where the second factor is transposed: Eigen's packs it first. */
const wideTransposed = 1 << 20

/** Where adding a bias to so many columns costs more than a column of ones in the input. */
const wideColumns = 4096

export function nativePrimitives(
  eager: Eager,
  product: Readonly<Products>,
  joined: JoinedParameters,
): Primitives<Handle> {
  const { TF_ATTR_BOOL, TF_ATTR_INT, TF_ATTR_STRING, TF_ATTR_TYPE, TF_FLOAT } = eager.binding
  const flagsOf = (...names: readonly string[]) =>
    [false, true].map((a) =>
      [false, true].map((b): readonly Attribute[] =>
        [a, b].map((value, index) => ({ name: names[index] ?? '', type: TF_ATTR_BOOL, value })),
      ),
    )
  const flags = { MatMul: flagsOf('transpose_a', 'transpose_b'), BatchMatMulV2: flagsOf('adj_x', 'adj_y') }
  const matMul = (a: Handle, b: Handle, transposeA: boolean, transposeB: boolean) => {
    const wide = transposeB && !transposeA && (b.shape[0] ?? 0) * (b.shape[1] ?? 0) >= wideTransposed
    const op = wide ? 'BatchMatMulV2' : product.op
    return eager.run(op, [a.id, b.id], flags[op][Number(transposeA)]?.[Number(transposeB)])
  }
  // Types of single inputs are filled in, those of a list of inputs are not.
  const pair: readonly Attribute[] = [
    { name: 'N', type: TF_ATTR_INT, value: 2 },
    { name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT },
  ]
  // The bias is added, and the activation applied, while a block of the product is in the cache.
  const fusedWith = (...operations: readonly string[]): readonly Attribute[] => [
    { name: 'fused_ops', type: TF_ATTR_STRING, value: operations },
    { name: 'num_args', type: TF_ATTR_INT, value: 1 },
  ]
  const fused: Record<DenseActivation, readonly Attribute[]> = {
    linear: fusedWith('BiasAdd'),
    relu: fusedWith('BiasAdd', 'Relu'),
    leakyRelu: fusedWith('BiasAdd', 'LeakyRelu'), // with its default slope, as alone
  }
  const int = (...values: number[]) => eager.constant('int', values, [values.length])
  const rowAxis = () => eager.constant('int', [0], [])
  const unary = (name: string) => (a: Handle) => eager.run(name, [a.id])
  const binary = (name: string) => (a: Handle, b: Handle) => eager.run(name, [a.id, b.id])
  return {
    matMul,
    addBias: binary('BiasAdd'),
    affine(x, kernel, bias) {
      const both = joined.get(kernel.id)
      if (!both || both.bias !== bias.id || !x.values || (kernel.shape[1] ?? 0) < wideColumns) return null
      const a = eager.float(withOnes(x.values, x.shape[0] ?? 0), [x.shape[0] ?? 0, (x.shape[1] ?? 0) + 1])
      return { a, y: matMul(a, both.matrix, false, false) }
    },
    dense: (x, kernel, bias, activation) =>
      product.op === 'MatMul' ? eager.run('_FusedMatMul', [x.id, kernel.id, bias.id], fused[activation]) : null,
    add: binary('AddV2'),
    sub: binary('Sub'),
    mul: binary('Mul'),
    div: binary('RealDiv'),
    scale: (a, factor) => eager.run('Mul', [a.id, eager.constant('float', [factor], [])]),
    neg: unary('Neg'),
    exp: unary('Exp'),
    square: unary('Square'),
    sqrt: unary('Sqrt'),
    softplus: unary('Softplus'),
    softplusGradient: binary('SoftplusGrad'),
    sigmoid: unary('Sigmoid'),
    log: unary('Log'),
    maximum: binary('Maximum'),
    oneMinus: (a) => eager.run('Sub', [eager.constant('float', [1], []), a.id]),
    relu: unary('Relu'),
    reluGradient: binary('ReluGrad'),
    leakyRelu: unary('LeakyRelu'), // with its default slope
    leakyReluGradient: binary('LeakyReluGrad'),
    tanh: unary('Tanh'),
    tanhGradient: (dy, y) => eager.run('TanhGrad', [y.id, dy.id]),
    sum: (a) => eager.run('Sum', [a.id, eager.constant('int', axes(a.shape.length), [a.shape.length])]),
    sumTo: (a, shape) => sumTo(eager, a, shape),
    fill: (scalar, shape) => eager.run('Fill', [int(...shape), scalar.id]),
    concatRows: (a, b) => eager.run('ConcatV2', [a.id, b.id, rowAxis()], pair),
    rows(a, start, count) {
      const [, ...rest] = a.shape
      return eager.run('Slice', [a.id, int(start, ...rest.map(() => 0)), int(count, ...rest)])
    },
    padRows(a, start, total) {
      const [rows = 0, ...rest] = a.shape
      const around = [start, total - start - rows, ...rest.flatMap(() => [0, 0])]
      return eager.run('Pad', [a.id, eager.constant('int', around, [a.shape.length, 2])])
    },
    concatColumns: (a, b) => eager.run('ConcatV2', [a.id, b.id, eager.constant('int', [a.shape.length - 1], [])], pair),
    columns(a, start, count) {
      const rest = a.shape.slice(0, -1)
      return eager.run('Slice', [a.id, int(...rest.map(() => 0), start), int(...rest, count)])
    },
    logSoftmax: unary('LogSoftmax'),
    reshape: (a, shape) => eager.run('Reshape', [a.id, int(...shape)]),
    ...imagePrimitives(eager, product),
    input: (values, shape) => eager.float(values, shape),
    free: (a) => eager.free(a),
  }
}

type ImagePrimitives = Pick<
  Primitives<Handle>,
  | 'conv2d'
  | 'conv2dInputGradient'
  | 'conv2dKernelGradient'
  | 'maxPool'
  | 'maxPoolGradient'
  | 'avgPool'
  | 'avgPoolGradient'
>

/** Images as [rows, height, width, channels]. */
function imagePrimitives(eager: Eager, product: Readonly<Products>): ImagePrimitives {
  const { TF_ATTR_INT, TF_ATTR_STRING, TF_ATTR_TYPE, TF_FLOAT } = eager.binding
  const as = (type: number): readonly Attribute[] => [{ name: 'DstT', type: TF_ATTR_TYPE, value: type }]
  const narrow = as(bfloat16)
  const wide = as(TF_FLOAT)
  /** `make` of these, which are rounded to bfloat16 where that is wanted, and so is what it makes. */
  const rounded = (a: Handle, b: Handle, make: (a: number, b: number) => Handle): Handle => {
    if (!product.narrowConvolutions) return make(a.id, b.id)
    const [first, second] = [eager.run('Cast', [a.id], narrow), eager.run('Cast', [b.id], narrow)]
    const made = make(first.id, second.id)
    const result = eager.run('Cast', [made.id], wide)
    for (const handle of [first, second, made]) eager.free(handle)
    return result
  }
  const moves = remembered(({ stride, padding }: Strided) => [
    { name: 'strides', type: TF_ATTR_INT, value: [1, stride, stride, 1] },
    { name: 'padding', type: TF_ATTR_STRING, value: padding.toUpperCase() },
  ])
  const windows = remembered((pooling: Pooling) => [
    { name: 'ksize', type: TF_ATTR_INT, value: [1, pooling.size, pooling.size, 1] },
    ...moves(pooling),
  ])
  const extents = (shape: readonly number[]) => eager.constant('int', shape, [shape.length])
  return {
    conv2d: (x, kernel, strided) =>
      rounded(x, kernel, (image, filter) => eager.run('Conv2D', [image, filter], moves(strided))),
    conv2dInputGradient: (dy, kernel, strided, shape) =>
      rounded(dy, kernel, (image, filter) =>
        eager.run('Conv2DBackpropInput', [extents(shape), filter, image], moves(strided)),
      ),
    // A fifth faster in bfloat16, which is not worth gradients of weights of 8 bits.
    conv2dKernelGradient: (dy, x, strided, shape) =>
      eager.run('Conv2DBackpropFilter', [x.id, extents(shape), dy.id], moves(strided)),
    maxPool: (x, pooling) => eager.run('MaxPool', [x.id], windows(pooling)),
    maxPoolGradient: (dy, x, y, pooling) => eager.run('MaxPoolGrad', [x.id, y.id, dy.id], windows(pooling)),
    avgPool: (x, pooling) => eager.run('AvgPool', [x.id], windows(pooling)),
    avgPoolGradient: (dy, shape, pooling) => eager.run('AvgPoolGrad', [extents(shape), dy.id], windows(pooling)),
  }
}

/** The same array for the same values: an operation is defined for each. */
function remembered<P extends object>(make: (parts: P) => readonly Attribute[]): (parts: P) => readonly Attribute[] {
  const known = new Map<string, readonly Attribute[]>()
  return (parts) => {
    const key = JSON.stringify(parts)
    const attributes = known.get(key) ?? make(parts)
    known.set(key, attributes)
    return attributes
  }
}

/** [x, 1]: a column of ones behind the others. */
function withOnes(values: Float32Array, rows: number): Float32Array {
  const columns = rows === 0 ? 0 : values.length / rows
  const wide = new Float32Array(rows * (columns + 1)).fill(1)
  for (let row = 0; row < rows; row++)
    wide.set(values.subarray(row * columns, (row + 1) * columns), row * (columns + 1))
  return wide
}

const axes = (rank: number): number[] => Array.from({ length: rank }, (_, axis) => axis)

/** Sums over the leading axes that `shape` has not; a bias gradient, mostly. */
function sumTo(eager: Eager, a: Handle, shape: readonly number[]): Handle {
  if (a.shape.length >= 2 && shape.length === 1 && shape[0] === a.shape.at(-1)) return eager.run('BiasAddGrad', [a.id])
  const lead = a.shape.length - shape.length
  const summed = axes(a.shape.length).filter((axis) => axis < lead || shape[axis - lead] !== a.shape[axis])
  const sum = eager.run('Sum', [a.id, eager.constant('int', summed, [summed.length])])
  return eager.run('Reshape', [sum.id, eager.constant('int', shape, [shape.length])])
}
