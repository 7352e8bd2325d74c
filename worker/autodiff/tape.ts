import { assert } from '../../shared/core/errors.ts'
import type {
  DenseActivation,
  Evaluation,
  InputFunction,
  Ops,
  Parameters,
  Pooling,
  Strided,
  Tensor,
} from '../backend/backend.ts'
import { dense, product, type Recorder } from './dense.ts'
import { avgPool, conv2d, conv2dTranspose, type Differentiable, maxPool } from './image-operations.ts'
import { inputGradient } from './input-gradient.ts'
import { bernoulli, softmaxCrossEntropy } from './likelihoods.ts'
import { nestedPrimitives } from './nested-primitives.ts'
import { columns, concatColumns, concatRows, div, layerNorm, leakyRelu, mul, sqrt, sumTo } from './operations.ts'
import type { Primitives, Shaped } from './primitives.ts'
import { type GradientSink, type Node, sameShape, type Traced, traced } from './traced.ts'

/**
 * Reverse-mode automatic differentiation over a backend's primitives. Operations on tensors that no target went into are
 * not recorded. A node's output is freed when its readers have been gone back through, so at most the forward pass is held.
 */
export class Tape<T extends Shaped> implements Ops, Recorder<T> {
  readonly #p: Primitives<T>
  #nodes: Node<T>[] | null = null

  constructor(primitives: Primitives<T>) {
    this.#p = primitives
  }

  /** A tensor that is there already: a parameter, or what an earlier evaluation left. */
  leaf(value: T): Traced<T> {
    return { shape: [...value.shape], value, node: null }
  }

  /** Computes a loss and hands d loss / d target to the sink. What `evaluate` returned stays; other values are freed. */
  gradients(evaluate: () => Evaluation, targets: readonly Traced<T>[], sink: GradientSink<T>): Evaluation {
    assert(this.#nodes === null, 'one tape at a time')
    const nodes: Node<T>[] = []
    this.#nodes = nodes
    const leaves = targets.map((target) => {
      target.node = { inputs: [], backward: null, product: null, gradient: null, readers: 0, output: null }
      return target.node
    })
    try {
      const result = evaluate()
      this.#nodes = null // what the backward pass computes is not recorded
      const loss = traced<T>(result.loss)
      for (const kept of [result.loss, ...Object.values(result.scalars)]) {
        const { node } = traced<T>(kept)
        if (node) node.output = null
      }
      const shapes = targets.map(({ shape }) => shape)
      this.#goBack(nodes, loss, leaves, shapes, sink)
      return result
    } finally {
      this.#nodes = null
      for (const target of targets) target.node = null
    }
  }

  #goBack(
    nodes: Node<T>[],
    loss: Traced<T>,
    leaves: readonly Node<T>[],
    shapes: readonly (readonly number[])[],
    sink: GradientSink<T>,
  ): void {
    if (loss.node) loss.node.gradient = this.#p.input(Float32Array.of(1), [])
    const waiting = new Set(leaves)
    const deliver = (leaf: Node<T>) => {
      if (leaf.readers > 0 || leaf.gradient === null || !waiting.delete(leaf)) return
      sink.gradient(leaves.indexOf(leaf), leaf.gradient)
      leaf.gradient = null
    }
    for (let node = nodes.pop(); node; node = nodes.pop()) {
      const { inputs, gradient, product, output } = node
      const direct = product && gradient && this.isDirect(product) ? product : null
      if (gradient && direct) {
        const { parameter, a, bias } = direct
        sink.product(leaves.indexOf(parameter), a, gradient, ...(bias ? [leaves.indexOf(bias)] : []))
        for (const leaf of [parameter, bias]) if (leaf) waiting.delete(leaf)
      }
      const back = gradient && node.backward ? node.backward(gradient) : []
      for (const [index, { node: from }] of inputs.entries()) {
        if (!from) continue
        from.readers--
        const part = direct?.parameter === from || direct?.bias === from ? null : (back[index] ?? null)
        if (part) from.gradient = from.gradient ? this.#p.add(from.gradient, part) : part
        if (from.backward === null) deliver(from)
      }
      if (output) this.#p.free(output)
    }
    for (const leaf of waiting) {
      const index = leaves.indexOf(leaf) // what the loss does not read has a gradient of 0, and is written too
      sink.gradient(index, leaf.gradient ?? this.#p.fill(this.#p.input(Float32Array.of(0), []), shapes[index] ?? []))
    }
  }

  isDirect({ parameter, bias = parameter }: NonNullable<Node<T>['product']>): boolean {
    return [parameter, bias].every((leaf) => leaf.gradient === null && leaf.readers === 1)
  }

  record(
    value: T,
    inputs: readonly Traced<T>[],
    backward: (dy: T) => readonly (T | null)[],
    product: Node<T>['product'] = null,
    output: T | null = value,
  ): Traced<T> {
    const result = this.leaf(value)
    if (!this.#nodes || inputs.every(({ node }) => node === null)) return result
    for (const { node } of inputs) if (node) node.readers++
    result.node = { inputs, backward, product, gradient: null, readers: 0, output }
    this.#nodes.push(result.node)
    return result
  }

  #unary(a: Tensor, value: T, backward: (dy: T) => T): Traced<T> {
    return this.record(value, [traced<T>(a)], (dy) => [backward(dy)])
  }

  matMul(left: Tensor, right: Tensor): Traced<T> {
    const [x, y] = [traced<T>(left), traced<T>(right)]
    return product(this.#p, this, [x, y], this.#p.matMul(x.value, y.value, false, false))
  }

  dense(x: Tensor, kernel: Tensor, bias: Tensor, activation: DenseActivation = 'linear'): Traced<T> {
    return dense(this.#p, this, [traced<T>(x), traced<T>(kernel), traced<T>(bias)], activation)
  }

  add(a: Tensor, b: Tensor): Traced<T> {
    return this.#binary(a, b, this.#p.add(traced<T>(a).value, traced<T>(b).value), (dy) => [dy, dy])
  }

  sub(a: Tensor, b: Tensor): Traced<T> {
    const p = this.#p
    return this.#binary(a, b, p.sub(traced<T>(a).value, traced<T>(b).value), (dy) => [
      dy,
      traced<T>(b).node ? p.neg(dy) : null,
    ])
  }

  mul(a: Tensor, b: Tensor): Traced<T> {
    return this.apply(mul(this.#p, traced<T>(a), traced<T>(b)))
  }

  #binary(a: Tensor, b: Tensor, value: T, backward: (dy: T) => readonly [T, T | null] | readonly (T | null)[]) {
    const inputs = [traced<T>(a), traced<T>(b)]
    return this.record(value, inputs, (dy) =>
      backward(dy).map((part, index) => {
        const shape = inputs[index]?.shape ?? []
        return part === null || sameShape(part.shape, shape) ? part : this.#p.sumTo(part, shape)
      }),
    )
  }

  scale(a: Tensor, factor: number): Traced<T> {
    return this.#unary(a, this.#p.scale(traced<T>(a).value, factor), (dy) => this.#p.scale(dy, factor))
  }

  neg(a: Tensor): Traced<T> {
    return this.#unary(a, this.#p.neg(traced<T>(a).value), (dy) => this.#p.neg(dy))
  }

  exp(a: Tensor): Traced<T> {
    const y = this.#p.exp(traced<T>(a).value)
    return this.#unary(a, y, (dy) => this.#p.mul(dy, y))
  }

  square(a: Tensor): Traced<T> {
    const x = traced<T>(a).value
    return this.#unary(a, this.#p.square(x), (dy) => this.#p.scale(this.#p.mul(dy, x), 2))
  }

  softplus(a: Tensor): Traced<T> {
    const x = traced<T>(a).value
    return this.#unary(a, this.#p.softplus(x), (dy) => this.#p.softplusGradient(dy, x))
  }

  sigmoid(a: Tensor): Traced<T> {
    const p = this.#p
    const y = p.sigmoid(traced<T>(a).value)
    return this.#unary(a, y, (dy) => p.mul(dy, p.sub(y, p.square(y))))
  }

  bernoulli(logits: Tensor, x: Tensor): Traced<T> {
    return this.apply(bernoulli(this.#p, traced<T>(logits), traced<T>(x)))
  }

  relu(a: Tensor): Traced<T> {
    const y = this.#p.relu(traced<T>(a).value)
    return this.#unary(a, y, (dy) => this.#p.reluGradient(dy, y))
  }

  tanh(a: Tensor): Traced<T> {
    const y = this.#p.tanh(traced<T>(a).value)
    return this.#unary(a, y, (dy) => this.#p.tanhGradient(dy, y))
  }

  sum(a: Tensor): Traced<T> {
    const x = traced<T>(a)
    return this.#unary(a, this.#p.sum(x.value), (dy) => this.#p.fill(dy, x.shape))
  }

  reshape(a: Tensor, shape: readonly number[]): Traced<T> {
    const x = traced<T>(a)
    return this.#unary(a, this.#p.reshape(x.value, shape), (dy) => this.#p.reshape(dy, x.shape))
  }

  conv2d(x: Tensor, kernel: Tensor, strided: Strided): Traced<T> {
    return this.apply(conv2d(this.#p, traced<T>(x), traced<T>(kernel), strided))
  }

  conv2dTranspose(x: Tensor, kernel: Tensor, strided: Strided): Traced<T> {
    return this.apply(conv2dTranspose(this.#p, traced<T>(x), traced<T>(kernel), strided))
  }

  maxPool(x: Tensor, pooling: Pooling): Traced<T> {
    return this.apply(maxPool(this.#p, traced<T>(x), pooling))
  }

  avgPool(x: Tensor, pooling: Pooling): Traced<T> {
    return this.apply(avgPool(this.#p, traced<T>(x), pooling))
  }

  /** An operation with its own way back. */
  apply({ value, inputs, backward }: Differentiable<T>): Traced<T> {
    return this.record(value, inputs, backward)
  }

  softmaxCrossEntropy(logits: Tensor, targets: Tensor): Traced<T> {
    return this.apply(softmaxCrossEntropy(this.#p, traced<T>(logits), traced<T>(targets)))
  }

  div(a: Tensor, b: Tensor): Traced<T> {
    return this.apply(div(this.#p, traced<T>(a), traced<T>(b)))
  }

  sqrt(a: Tensor): Traced<T> {
    return this.apply(sqrt(this.#p, traced<T>(a)))
  }

  leakyRelu(a: Tensor): Traced<T> {
    return this.apply(leakyRelu(this.#p, traced<T>(a)))
  }

  layerNorm(x: Tensor, scale: Tensor, offset: Tensor): Traced<T> {
    return this.apply(layerNorm(this.#p, traced<T>(x), traced<T>(scale), traced<T>(offset)))
  }

  sumTo(a: Tensor, shape: readonly number[]): Traced<T> {
    return this.apply(sumTo(this.#p, traced<T>(a), shape))
  }

  concatColumns(a: Tensor, b: Tensor): Traced<T> {
    return this.apply(concatColumns(this.#p, traced<T>(a), traced<T>(b)))
  }

  columns(a: Tensor, start: number, count: number): Traced<T> {
    return this.apply(columns(this.#p, traced<T>(a), start, count))
  }

  inputGradient(parameters: Parameters, x: Tensor, f: InputFunction): Traced<T> {
    const own = new Map([...parameters].map(([name, tensor]) => [name, traced<T>(tensor)]))
    return inputGradient(new Tape(nestedPrimitives<T>(this, this.#p)), own, traced<T>(x), f)
  }

  concatRows(a: Tensor, b: Tensor): Traced<T> {
    return this.apply(concatRows(this.#p, traced<T>(a), traced<T>(b)))
  }

  rows(a: Tensor, start: number, count: number): Traced<T> {
    const x = traced<T>(a)
    return this.#unary(a, this.#p.rows(x.value, start, count), (dy) => this.#p.padRows(dy, start, x.shape[0] ?? 0))
  }

  input(values: Float32Array, shape: readonly number[]): Traced<T> {
    return this.leaf(this.#p.input(values, shape))
  }
}
