import { beforeAll, describe, expect, it } from 'vitest'
import type { RunOptions } from '../../shared/core/config.ts'
import type { Backend } from '../../worker/backend/backend.ts'
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
      // A unit of a leaky layer that is near 0 may be on either side of it: of 8 images that is seen in a gradient.
      await expectSameSteps(cpu, backend, options, source, options.model === 'dcgan' ? 1e-2 : 1e-3)
    },
  )

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
