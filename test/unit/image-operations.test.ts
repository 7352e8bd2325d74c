import { beforeAll, describe, expect, it } from 'vitest'
import type { Backend, Ops, Strided, Tensor } from '../../worker/backend/backend.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { available } from '../support/cli.ts'
import { hasGpu } from '../support/gpu.ts'

type Operation = (ops: Ops, x: Tensor, kernel: Tensor) => Tensor
interface Case {
  readonly x: readonly number[]
  readonly kernel: readonly number[]
  readonly run: Operation
}

const strides: Strided[] = (['same', 'valid'] as const).flatMap((padding) =>
  [1, 2, 3].map((stride) => ({ padding, stride })),
)
const cases: Record<string, Case> = {}
for (const { padding, stride } of strides) {
  const name = `${padding}, stride ${stride}`
  const strided = { padding, stride }
  const x = [2, 6, 5, 2]
  cases[`conv2d ${name}`] = { x, kernel: [3, 2, 2, 3], run: (o, a, k) => o.conv2d(a, k, strided) }
  cases[`conv2dTranspose ${name}`] = {
    x: [2, 3, 2, 2],
    kernel: [3, 3, 3, 2],
    run: (o, a, k) => o.conv2dTranspose(a, k, strided),
  }
  const pooling = { ...strided, size: 2 }
  const unused = [1]
  cases[`maxPool ${name}`] = { x, kernel: unused, run: (o, a, k) => o.mul(o.maxPool(a, pooling), k) }
  cases[`avgPool ${name}`] = { x, kernel: unused, run: (o, a, k) => o.mul(o.avgPool(a, pooling), k) }
}
cases['a bias of each channel and a new shape'] = {
  x: [2, 3, 2, 2],
  kernel: [2],
  run: (o, a, k) => o.square(o.reshape(o.add(a, k), [4, 6])),
}
cases['rows of images'] = {
  x: [3, 2, 2, 1],
  kernel: [1, 2, 2, 1],
  run: (o, a, k) => o.square(o.rows(o.concatRows(a, k), 1, 3)),
}
cases.softmaxCrossEntropy = {
  x: [3, 4],
  kernel: [1],
  run: (o, a, k) =>
    o.mul(
      o.softmaxCrossEntropy(o.scale(a, 3), o.input(Float32Array.of(1, 0, 0, 0, 0, 0, 0.5, 0.5, 0, 1, 0, 0), [3, 4])),
      k,
    ),
}

const size = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1)
const wave = (count: number, phase: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(2.3 * i + phase))
const native = available(findNative() !== null, 'native TensorFlow')
const gpu = await hasGpu()
const backends = [...(native ? ['tensorflow' as const] : []), ...(gpu ? ['webgpu' as const] : []), 'wasm' as const]

describe.each(backends)('operations on images on %s', (name) => {
  let backend: Backend
  beforeAll(async () => {
    backend = await openBackend(name, 1)
  })

  it.each(Object.entries(cases))('goes back through %s as central differences do', async (_, { x, kernel, run }) => {
    const views = [x, kernel].map((shape, index) => {
      const weights = wave(size(shape), index + 1)
      return { name: `p${index}`, shape, weights, gradient: new Float32Array(weights.length).fill(Number.NaN) }
    })
    const evaluate = async () => {
      const bound = backend.bind(views)
      const [a, k] = views.map((view) => bound.tensors.get(view.name) as Tensor)
      const targets = views.map(({ gradient }, index) => ({ parameter: [a, k][index] as Tensor, gradient }))
      const { loss } = await backend.gradients(() => {
        const { ops } = backend
        const y = run(ops, a as Tensor, k as Tensor)
        const weights = ops.input(wave(size(y.shape), 5), y.shape)
        return { loss: ops.sum(ops.mul(y, weights)), scalars: {} }
      }, targets)
      bound.dispose()
      return loss ?? Number.NaN
    }
    const tensors = backend.tensorCount()
    await evaluate()
    expect(backend.tensorCount()).toBe(tensors)
    const h = 1 / 256 // no two values of a window of maxPool are nearer than that
    for (const { weights, gradient } of views) {
      const found = gradient.slice()
      for (const index of weights.keys()) {
        const kept = weights[index] ?? 0
        weights[index] = kept + h
        const above = await evaluate()
        weights[index] = kept - h
        const below = await evaluate()
        weights[index] = kept
        const slope = (above - below) / (2 * h)
        expect(Math.abs((found[index] ?? Number.NaN) - slope), `${index}: ${found[index]}`).toBeLessThan(0.01)
      }
    }
  })

  it.each(strides)('convolves and pools as plain loops do: $padding, stride $stride', async (strided) => {
    const [x, kernel] = [wave(2 * 6 * 5 * 2, 1), wave(3 * 2 * 2 * 3, 2)]
    const { ops } = backend
    const close = (found: Float32Array, expected: number[]) => {
      expect(found.length).toBe(expected.length)
      for (const [index, value] of expected.entries()) expect(found[index]).toBeCloseTo(value, 4)
    }
    const image = () => ops.input(x, [2, 6, 5, 2])
    const convolved = await backend.compute(() => ops.conv2d(image(), ops.input(kernel, [3, 2, 2, 3]), strided))
    const sums = windows(x, [3, 2], strided).flatMap(({ places }) =>
      [0, 1, 2].map((output) =>
        places.reduce(
          (sum, values, place) =>
            values.reduce((s, value, input) => s + value * (kernel[(place * 2 + input) * 3 + output] ?? 0), sum),
          0,
        ),
      ),
    )
    close(convolved, sums)
    const pooling = { ...strided, size: 2 }
    const inside = windows(x, [2, 2], strided).map(({ places }) => places.filter((values) => values.length > 0))
    const of = (reduce: (values: number[]) => number) =>
      inside.flatMap((places) => [0, 1].map((channel) => reduce(places.map((values) => values[channel] ?? 0))))
    close(
      await backend.compute(() => ops.maxPool(image(), pooling)),
      of((values) => Math.max(...values)),
    )
    close(
      await backend.compute(() => ops.avgPool(image(), pooling)),
      of((values) => values.reduce((sum, value) => sum + value, 0) / values.length),
    )
  })

  it('gives the slope of a maximum to the first of equal values', async () => {
    const { ops } = backend
    const views = [{ name: 'x', shape: [1, 2, 2, 1], weights: new Float32Array(4).fill(1) }]
    const bound = backend.bind(views)
    const x = bound.tensors.get('x') as Tensor
    const gradient = new Float32Array(4)
    await backend.gradients(
      () => ({ loss: ops.sum(ops.maxPool(x, { size: 2, stride: 2, padding: 'valid' })), scalars: {} }),
      [{ parameter: x, gradient }],
    )
    bound.dispose()
    expect([...gradient]).toEqual([1, 0, 0, 0])
  })
})

/** Channels at each place of each window over images [2, 6, 5, 2], none outside the image. */
function windows(x: Float32Array, [height, width]: [number, number], { stride, padding }: Strided) {
  const [down, across] = [6, 5]
  const count = (extent: number, window: number) =>
    padding === 'same' ? Math.ceil(extent / stride) : Math.floor((extent - window) / stride) + 1
  const before = (extent: number, window: number) =>
    padding === 'same' ? Math.floor(Math.max(0, (count(extent, window) - 1) * stride + window - extent) / 2) : 0
  const all: { places: number[][] }[] = []
  for (let row = 0; row < 2; row++)
    for (let top = 0; top < count(down, height); top++)
      for (let left = 0; left < count(across, width); left++)
        all.push({
          places: Array.from({ length: height * width }, (_, place) => {
            const i = top * stride + Math.floor(place / width) - before(down, height)
            const j = left * stride + (place % width) - before(across, width)
            const start = ((row * down + i) * across + j) * 2
            return i < 0 || i >= down || j < 0 || j >= across ? [] : [x[start] ?? 0, x[start + 1] ?? 0]
          }),
        })
  return all
}
