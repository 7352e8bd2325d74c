import type * as tfjs from '@tensorflow/tfjs'
import type { Primitives } from '../autodiff/primitives.ts'
import { tfjsImagePrimitives } from './tfjs-image-primitives.ts'

type MatMul = Primitives<tfjs.Tensor>['matMul']

/** Of so many products in a sum webgpu's kernel `MatMulSplitK` (4.22) takes the wrong elements of a transposed second factor. */
const splitInner = 2000

/** The engine's product of matrices, where need be of factors that are turned before: all of wasm, which is slow with transposed ones. */
function matMulOf(tf: typeof tfjs, engine: string): MatMul {
  const leastInner = engine === 'wasm' ? 0 : engine === 'webgpu' ? splitInner : Number.POSITIVE_INFINITY
  const turned = (a: tfjs.Tensor, turns: boolean) => (turns ? tf.transpose(a) : a)
  return (a, b, transposeA, transposeB) => {
    const turnsA = transposeA && engine === 'wasm'
    const turnsB = transposeB && (b.shape[1] ?? 0) >= leastInner
    return tf.matMul(turned(a, turnsA), turned(b, turnsB), transposeA && !turnsA, transposeB && !turnsB)
  }
}

/** Any TensorFlow.js engine, by its name. */
export function tfjsPrimitives(tf: typeof tfjs, engine: string): Omit<Primitives<tfjs.Tensor>, 'input'> {
  const matMul = matMulOf(tf, engine)
  return {
    matMul,
    addBias: (x, bias) => tf.add(x, bias),
    affine: () => null,
    add: (a, b) => tf.add(a, b),
    sub: (a, b) => tf.sub(a, b),
    mul: (a, b) => tf.mul(a, b),
    div: (a, b) => tf.div(a, b),
    scale: (a, factor) => tf.mul(a, factor),
    neg: (a) => tf.neg(a),
    exp: (a) => tf.exp(a),
    square: (a) => tf.square(a),
    sqrt: (a) => tf.sqrt(a),
    softplus: (a) => tf.softplus(a),
    softplusGradient: (dy, x) => tf.mul(dy, tf.sigmoid(x)),
    sigmoid: (a) => tf.sigmoid(a),
    log: (a) => tf.log(a),
    maximum: (a, b) => tf.maximum(a, b),
    oneMinus: (a) => tf.sub(1, a),
    relu: (a) => tf.relu(a),
    reluGradient: (dy, y) => tf.mul(dy, tf.step(y)),
    leakyRelu: (a) => tf.leakyRelu(a, 0.2),
    leakyReluGradient: (dy, x) => tf.mul(dy, tf.add(tf.mul(tf.step(x), 0.8), 0.2)),
    tanh: (a) => tf.tanh(a),
    tanhGradient: (dy, y) => tf.mul(dy, tf.sub(1, tf.square(y))),
    sum: (a) => tf.sum(a),
    sumTo(a, shape) {
      const lead = a.shape.length - shape.length
      const axes = a.shape.map((_, axis) => axis)
      const summed = axes.filter((axis) => axis < lead || shape[axis - lead] !== a.shape[axis])
      return tf.reshape(tf.sum(a, summed), [...shape])
    },
    fill: (scalar, shape) => tf.mul(tf.ones([...shape]), scalar),
    concatRows: (a, b) => tf.concat([a, b], 0),
    rows: (a, start, count) => tf.slice(a, start, count),
    padRows(a, start, total) {
      const [rows = 0, ...rest] = a.shape
      return tf.pad(a, [[start, total - start - rows], ...rest.map((): [number, number] => [0, 0])])
    },
    concatColumns: (a, b) => tf.concat([a, b], a.shape.length - 1),
    columns(a, start, count) {
      const [columns = 0, ...rest] = [...a.shape].reverse()
      const before = rest.map(() => 0)
      return tf.slice(a, [...before, start], [...rest.reverse(), Math.min(count, columns)])
    },
    logSoftmax: (a) => tf.logSoftmax(a),
    reshape: (a, shape) => tf.reshape(a, [...shape]),
    ...tfjsImagePrimitives(tf, matMul),
    free: (a) => a.dispose(),
  }
}
