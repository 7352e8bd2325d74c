import type * as tfjs from '@tensorflow/tfjs'
import type { Backend, BoundParameters, Evaluation, Ops, ParameterView, Tensor } from './backend.ts'

type Tf = typeof tfjs

/** Any TensorFlow.js engine behind the backend interface. */
export function makeTfjsBackend(tf: Tf, name: string, version: string): Backend {
  const inner = (tensor: Tensor): tfjs.Tensor => tensor as tfjs.Tensor
  const ops: Ops = {
    matMul: (a, b) => tf.matMul(inner(a), inner(b)),
    add: (a, b) => tf.add(inner(a), inner(b)),
    sub: (a, b) => tf.sub(inner(a), inner(b)),
    mul: (a, b) => tf.mul(inner(a), inner(b)),
    scale: (a, factor) => tf.mul(inner(a), factor),
    neg: (a) => tf.neg(inner(a)),
    exp: (a) => tf.exp(inner(a)),
    square: (a) => tf.square(inner(a)),
    softplus: (a) => tf.softplus(inner(a)),
    relu: (a) => tf.relu(inner(a)),
    tanh: (a) => tf.tanh(inner(a)),
    sigmoid: (a) => tf.sigmoid(inner(a)),
    sum: (a) => tf.sum(inner(a)),
    concatRows: (a, b) => tf.concat([inner(a), inner(b)], 0),
    rows: (a, start, count) => tf.slice(inner(a), [start, 0], [count, -1]),
    input: (values, shape) => tf.tensor(values, [...shape], 'float32'),
  }
  return {
    name,
    version,
    ops,
    bind: (views) => bind(tf, views),
    async gradients(evaluate, targets) {
      let evaluation: Evaluation | undefined
      const { grads, value } = tf.tidy(() => {
        const result = tf.engine().gradients(
          () => {
            evaluation = evaluate()
            for (const scalar of Object.values(evaluation.scalars)) tf.keep(inner(scalar))
            return inner(evaluation.loss)
          },
          targets.map((target) => inner(target.parameter)),
        )
        return { grads: result.grads, value: result.value }
      })
      const scalars: Record<string, number> = { loss: (await value.data())[0] ?? Number.NaN }
      for (const [key, scalar] of Object.entries(evaluation?.scalars ?? {})) {
        scalars[key] = (await inner(scalar).data())[0] ?? Number.NaN
        inner(scalar).dispose()
      }
      for (const [index, gradient] of grads.entries()) {
        targets[index]?.gradient.set((await gradient.data()) as Float32Array)
        gradient.dispose()
      }
      value.dispose()
      return scalars
    },
    async compute(run) {
      const result = tf.tidy(() => inner(run()))
      const values = (await result.data()) as Float32Array
      result.dispose()
      return values
    },
    tensorCount: () => tf.memory().numTensors,
  }
}

/**
 * tfjs-node hands TensorFlow the memory of a typed array; where that is a 64-byte aligned view of a shared wasm memory,
 * TensorFlow computes on it without a copy. Nothing promises that, so it is tried out first.
 */
function bind(tf: Tf, views: readonly ParameterView[]): BoundParameters {
  const aliased = views[0] !== undefined && aliases(tf, views[0].weights)
  const tensors = new Map<string, tfjs.Tensor>()
  const make = (view: ParameterView) => tf.keep(tf.tensor(view.weights, [...view.shape], 'float32'))
  for (const view of views) tensors.set(view.name, make(view))
  const byName = new Map(views.map((view) => [view.name, view]))
  return {
    tensors,
    aliased,
    refresh(names) {
      if (aliased) return tensors
      for (const name of names) {
        const view = byName.get(name)
        if (!view) continue
        tensors.get(name)?.dispose()
        tensors.set(name, make(view))
      }
      return tensors
    },
    dispose() {
      for (const tensor of tensors.values()) tensor.dispose()
    },
  }
}

function aliases(tf: Tf, weights: Float32Array): boolean {
  if (!(weights.buffer instanceof SharedArrayBuffer) || weights.length === 0) return false
  const kept = weights[0] ?? 0
  const probe = tf.tensor(weights, [weights.length], 'float32')
  try {
    weights[0] = 1
    const before = tf.tidy(() => tf.slice(probe, [0], [1]).mul(2).dataSync()[0])
    weights[0] = 3
    const after = tf.tidy(() => tf.slice(probe, [0], [1]).mul(2).dataSync()[0])
    return before === 2 && after === 6
  } finally {
    weights[0] = kept
    probe.dispose()
  }
}
