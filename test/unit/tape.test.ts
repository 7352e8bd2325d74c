import { beforeAll, describe, expect, it } from 'vitest'
import { Arena, createSharedMemory } from '../../shared/kernel/kernel.ts'
import type { Backend, Ops, Tensor } from '../../worker/backend/backend.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { available } from '../support/cli.ts'
import { hasGpu } from '../support/gpu.ts'

/** Losses of a [3, 4] and a [4, 4] matrix and a bias [4] that together go through every operation, and through sums of paths. */
const losses: Record<string, (ops: Ops, a: Tensor, k: Tensor, b: Tensor) => Tensor> = {
  'a product with a kernel that is used twice': (o, a, k) => o.sum(o.square(o.matMul(o.matMul(a, k), k))),
  'a dense layer and relu': (o, a, k, b) => o.sum(o.square(o.relu(o.dense(a, k, b)))),
  'a dense layer on values from outside': (o, a, k, b) =>
    o.sum(o.mul(o.tanh(o.dense(o.input(Float32Array.of(1, -2, 3, 0.5), [1, 4]), k, b)), o.rows(a, 1, 1))),
  'broadcast sums and differences': (o, a, k, b) => o.sum(o.square(o.sub(o.add(a, b), o.rows(k, 2, 1)))),
  'broadcast products': (o, a, k, b) => o.sum(o.mul(o.mul(a, b), o.rows(k, 0, 1))),
  'exp, scale and neg': (o, a) => o.sum(o.exp(o.neg(o.scale(a, 0.5)))),
  'softplus and sigmoid': (o, a, k) => o.sum(o.mul(o.softplus(a), o.sigmoid(o.rows(k, 0, 3)))),
  'rows put together and taken apart': (o, a, k) => o.sum(o.square(o.rows(o.concatRows(o.square(a), o.tanh(k)), 2, 3))),
  'columns from the middle and the edges': (o, a, k) =>
    o.sum(o.mul(o.square(o.columns(a, 1, 2)), o.concatColumns(o.columns(o.rows(k, 0, 3), 3, 1), o.columns(a, 0, 1)))),
  'Bernoulli log-likelihood': (o, a) =>
    o.bernoulli(o.scale(a, 9), o.sigmoid(o.input(new Float32Array(12).fill(0.3), [3, 4]))),
}

const native = available(findNative() !== null, 'native TensorFlow')

const gpu = await hasGpu()
const backends = [...(native ? ['tensorflow' as const] : []), ...(gpu ? ['webgpu' as const] : []), 'wasm' as const]

describe.each(backends)('the tape on %s', (name) => {
  let backend: Backend
  const memory = createSharedMemory(1 << 16)
  const arena = new Arena(memory)
  const parameter = (shape: readonly number[], phase: number) => {
    const size = shape.reduce((product, extent) => product * extent, 1)
    const weights = arena.floats(arena.allocate(size * 4), size)
    for (let index = 0; index < size; index++) weights[index] = Math.sin(1.3 * index + phase)
    return { name: `p${phase}`, shape, weights, gradient: arena.floats(arena.allocate(size * 4), size) }
  }
  const views = [parameter([3, 4], 1), parameter([4, 4], 2), parameter([4], 3)]

  beforeAll(async () => {
    backend = await openBackend(name, 1)
  })

  it.each(Object.keys(losses))('goes back through %s as central differences do', async (key) => {
    const run = losses[key]
    if (!run) throw new Error(key)
    const lossOf = async () => {
      const bound = backend.bind(views)
      const [a, k, b] = views.map((view) => bound.tensors.get(view.name) as Tensor)
      const loss = () => run(backend.ops, a as Tensor, k as Tensor, b as Tensor)
      const targets = views.map((view) => ({
        parameter: bound.tensors.get(view.name) as Tensor,
        gradient: view.gradient.fill(Number.NaN), // every place is written, also where the loss does not read it
      }))
      const ready = new Set<Float32Array>()
      const { loss: value } = await backend.gradients(
        () => ({ loss: loss(), scalars: {} }),
        targets,
        (target) => ready.add(target.gradient),
      )
      bound.dispose()
      return { value: value ?? Number.NaN, ready }
    }
    const tensors = backend.tensorCount()
    const { ready } = await lossOf()
    expect(backend.tensorCount()).toBe(tensors)
    const gradients = views.map(({ gradient }) => gradient.slice())
    const h = 1 / 128
    for (const [place, { weights, gradient }] of views.entries()) {
      for (const index of weights.keys()) {
        const kept = weights[index] ?? 0
        weights[index] = kept + h
        const above = (await lossOf()).value
        weights[index] = kept - h
        const below = (await lossOf()).value
        weights[index] = kept
        const slope = (above - below) / (2 * h)
        const found = gradients[place]?.[index] ?? Number.NaN
        expect(Math.abs(found - slope), `${place}/${index}: ${found} for ${slope}`).toBeLessThan(
          0.01 * Math.max(1, Math.abs(slope)),
        )
      }
      expect(ready.has(gradient)).toBe(true)
    }
  })
})

it.runIf(native)('native TensorFlow outlives more constants in one evaluation than it keeps', async () => {
  const backend = await openBackend('tensorflow', 1)
  const rows = 700
  const total = await backend.compute(() => {
    const { ops } = backend
    const a = ops.input(new Float32Array(rows).fill(1), [rows, 1])
    let sum = ops.sum(ops.rows(a, 0, 1))
    for (let count = 2; count <= rows; count++) sum = ops.add(sum, ops.sum(ops.rows(a, 0, count)))
    return sum
  })
  expect(total[0]).toBe((rows * (rows + 1)) / 2)
})

it.runIf(native)('native TensorFlow and the plain engine agree on a dense layer whose output is wide', async () => {
  const arena = new Arena(createSharedMemory(1 << 20))
  const region = (size: number) => arena.floats(arena.allocate(size * 4), size)
  const columns = 4096
  const [kernel, bias] = [region(3 * columns), region(columns)]
  const [kernelGradient, biasGradient] = [region(3 * columns), region(columns)]
  for (const values of [kernel, bias]) for (const index of values.keys()) values[index] = Math.sin(index * 0.7)
  const found: Float32Array[][] = []
  for (const name of ['tensorflow', 'wasm'] as const) {
    const backend = await openBackend(name, 1)
    const bound = backend.bind([
      { name: 'kernel', shape: [3, columns], weights: kernel },
      { name: 'bias', shape: [columns], weights: bias },
    ])
    const [k, b] = [bound.tensors.get('kernel') as Tensor, bound.tensors.get('bias') as Tensor]
    const evaluate = () => {
      const { ops } = backend
      const y = ops.dense(ops.input(Float32Array.of(1, 2, -3, 0.5, 0.1, 2), [2, 3]), k, b)
      return { loss: ops.sum(ops.square(y)), scalars: {} }
    }
    for (const targets of [
      [
        { parameter: k, gradient: kernelGradient },
        { parameter: b, gradient: biasGradient },
      ],
      [{ parameter: b, gradient: new Float32Array(columns) }],
    ]) {
      await backend.gradients(evaluate, targets)
      found.push(targets.map(({ gradient }) => gradient.slice()))
    }
    bound.dispose()
  }
  const [both = [], one = [], plainBoth = [], plainOne = []] = found
  const pairs = [...both, ...one].map((values, index) => [values, [...plainBoth, ...plainOne][index]] as const)
  expect(pairs).toHaveLength(3)
  for (const [values, plain] of pairs)
    for (const [index, value] of values.entries())
      expect(Math.abs(value - (plain?.[index] ?? Number.NaN))).toBeLessThan(1e-3)
})
