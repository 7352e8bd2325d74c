import { beforeAll, describe, expect, it } from 'vitest'
import type { RunOptions } from '../../shared/core/config.ts'
import { draws } from '../../shared/core/random.ts'
import { registry } from '../../shared/model/registry.ts'
import type { Backend, Tensor } from '../../worker/backend/backend.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { loadDawn, provideGpu } from '../../worker/backend/webgpu/webgpu-library.ts'
import { available } from '../support/cli.ts'
import { hasGpu } from '../support/gpu.ts'
import { denseGan, smoothGan } from '../support/models.ts'
import { alone, expectSameSteps, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const native = available(findNative() !== null, 'native TensorFlow')
const gpu = await hasGpu()
const source = tinySource(64, 16)
const models: Record<string, RunOptions> = {
  vae: { model: 'vae', latentSize: 8 },
  'dense gan': { description: denseGan },
  'WGAN-GP': { description: denseGan, loss: 'wgan-gp' },
  dcgan: { model: 'dcgan' },
  'convolutional gan': { description: smoothGan, loss: 'hinge', spectralNorm: true },
  'convolutional WGAN-GP': { description: smoothGan, loss: 'wgan-gp' },
}

describe.skipIf(!gpu)('webgpu', () => {
  let backend: Backend
  let cpu: Backend
  beforeAll(async () => {
    if (native) cpu = await openBackend('tensorflow', 1) // first: loading it makes it TensorFlow.js's own
    backend = await openBackend('webgpu', 1)
  })

  it.runIf(native).each(Object.entries(models))(
    'computes the steps of a %s as the CPU does, each from the same state',
    async (_, options) => {
      await expectSameSteps(cpu, backend, options, source)
    },
  )

  it.runIf(native).each(Object.keys(registry))(
    'computes the gradients of a %s of its real size as the CPU does',
    async (model) => {
      const gradients = async (engine: Backend) => {
        const options = { model, batchSize: 8, learningRate: 1e-4, optimizer: 'sgd' } as const
        const { trainer, state } = makeTrainer(
          engine,
          options,
          tinySource(64, model === 'spectrogram-vae' ? 128 * 128 : 28 * 28),
        )
        await trainer.step(0, alone, noVotes)
        return new Map(state.slots.map(({ name, gradients: [gradient = new Float32Array(0)] }) => [name, gradient]))
      }
      const [expected, found] = [await gradients(cpu), await gradients(backend)]
      for (const [name, gradient] of expected) {
        const norm = (value: (index: number) => number) =>
          Math.sqrt(gradient.reduce((sum, _, index) => sum + value(index) ** 2, 0))
        const apart = norm((index) => (gradient[index] ?? 0) - (found.get(name)?.[index] ?? Number.NaN))
        expect(apart, name).toBeLessThan(1e-3 * norm((index) => gradient[index] ?? 0) + 1e-7)
      }
    },
  )

  // dx = dy · wᵀ has sums of `outputs` products, dw = xᵀ · dy of `rows`.
  it.each([
    [8, 64, 1996],
    [8, 64, 2000],
    [8, 512, 12_544],
    [64, 100, 12_544],
    [5, 33, 2051],
    [2048, 16, 32],
    [12_544, 64, 128],
    [64, 6272, 1],
    [1, 784, 256],
    [2, 3, 4000],
    [3000, 7, 5],
  ])('multiplies %i x %i by %i columns, and back, as in float64', async (rows, inputs, outputs) => {
    const draw = draws(7, 1, 0)
    const uniform = () => draw() / 2 ** 32
    const values = (count: number) => Float32Array.from({ length: count }, () => uniform() - 0.5)
    const [x, w, dy] = [values(rows * inputs), values(inputs * outputs), values(rows * outputs)]
    const bound = backend.bind([
      { name: 'x', shape: [rows, inputs], weights: x },
      { name: 'w', shape: [inputs, outputs], weights: w },
    ])
    const targets = [...bound.tensors.values()].map((parameter) => ({
      parameter,
      gradient: new Float32Array((parameter.shape[0] ?? 0) * (parameter.shape[1] ?? 0)),
    }))
    const { ops } = backend
    const [left, right] = targets.map(({ parameter }) => parameter) as [Tensor, Tensor]
    const y = await backend.compute(() => ops.matMul(left, right))
    const loss = () => ops.sum(ops.mul(ops.matMul(left, right), ops.input(dy, [rows, outputs])))
    await backend.gradients(() => ({ loss: loss(), scalars: {} }), targets)
    bound.dispose()
    const [dx, dw] = targets.map(({ gradient }) => gradient) as [Float32Array, Float32Array]
    for (let probe = 0; probe < 200; probe++) {
      const [row = 0, input = 0, output = 0] = [rows, inputs, outputs].map((extent) => Math.floor(uniform() * extent))
      const sum = (count: number, term: (index: number) => number) => {
        let total = 0
        for (let index = 0; index < count; index++) total += term(index)
        return total
      }
      const at = (matrix: Float32Array, columns: number, i: number, j: number) => matrix[i * columns + j] ?? Number.NaN
      expect(at(y, outputs, row, output)).toBeCloseTo(
        sum(inputs, (k) => at(x, inputs, row, k) * at(w, outputs, k, output)),
        3,
      )
      expect(at(dx, inputs, row, input)).toBeCloseTo(
        sum(outputs, (k) => at(dy, outputs, row, k) * at(w, outputs, input, k)),
        3,
      )
      expect(at(dw, outputs, input, output)).toBeCloseTo(
        sum(rows, (k) => at(x, inputs, k, input) * at(dy, outputs, k, output)),
        3,
      )
    }
  })

  it('holds as many tensors, and as much of the memory of the device, after 500 steps as after 20', async () => {
    const { memory } = await import('@tensorflow/tfjs')
    const { trainer } = makeTrainer(backend, { model: 'vae', latentSize: 4, batchSize: 4, steps: 500 }, source)
    const held = () => ({ tensors: backend.tensorCount(), bytes: memory().numBytes, ...deviceBytes(memory()) })
    for (let step = 0; step < 20; step++) await trainer.step(step, alone, noVotes)
    const before = held()
    expect(before.numBytesAllocatedInGPU).toBeGreaterThan(0)
    const used = backend.deviceUse?.()
    for (let step = 20; step < 500; step++) await trainer.step(step, alone, noVotes)
    expect(held()).toEqual(before)
    const now = backend.deviceUse?.()
    expect(now?.bytes).toBe(used?.bytes)
    expect(now?.bytes).toBeGreaterThan(Number(before.numBytesAllocatedInGPU)) // weights lie there too
    expect(now?.uploadSeconds).toBeGreaterThan(Number(used?.uploadSeconds))
    expect(now?.readSeconds).toBeGreaterThan(Number(used?.readSeconds))
    const kernels = Number(now?.kernelSeconds) - Number(used?.kernelSeconds)
    expect(kernels).toBeGreaterThan(0)
    expect(kernels).toBeLessThan(Number(now?.readSeconds) + Number(now?.uploadSeconds) + 1)
  })

  it('says which GPUs there are where none has the name that is wanted', async () => {
    await expect(provideGpu(await loadDawn(), 'Voodoo 2')).rejects.toThrow(
      /^no GPU is called Voodoo 2; write --device webgpu:NAME with a part of one of: \S+/,
    )
  })

  it('names a kernel that it has not', async () => {
    const { getKernel, registerKernel, unregisterKernel } = await import('@tensorflow/tfjs')
    const kernel = getKernel('Tanh', 'webgpu')
    unregisterKernel('Tanh', 'webgpu')
    const { trainer } = makeTrainer(backend, { description: smoothGan }, source)
    await expect(trainer.step(0, alone, noVotes)).rejects.toMatchObject({
      code: 'missing-kernel',
      exit: 78,
      message: 'the webgpu backend has no kernel Tanh, which this model needs; write --backend tensorflow',
    })
    registerKernel(kernel)
  })

  it('ends a step with the cause when its device is lost, and does not hang', async () => {
    const { backend: engineOf } = await import('@tensorflow/tfjs')
    const { trainer } = makeTrainer(backend, { model: 'vae' }, source)
    await trainer.step(0, alone, noVotes)
    const { device } = engineOf() as unknown as { device: GPUDevice }
    device.destroy()
    await expect(trainer.step(1, alone, noVotes)).rejects.toMatchObject({
      code: 'device-lost',
      exit: 75,
      message: expect.stringMatching(/ is lost \(destroyed\): /),
    })
  })
})

function deviceBytes(memory: object): { numBytesInGPU?: number; numBytesAllocatedInGPU?: number } {
  return memory
}
