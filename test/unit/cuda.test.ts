import { beforeAll, describe, expect, it } from 'vitest'
import type { RunOptions } from '../../shared/core/config.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { inOtherWords, makeCudaBackend } from '../../worker/backend/cuda/cuda-backend.ts'
import {
  type Nvidia,
  type NvidiaCard,
  parseKernelDriver,
  parseNvidia,
  visibleCards,
} from '../../worker/backend/cuda/nvidia.ts'
import { cudaSettings, loadProblem } from '../../worker/backend/cuda/open-cuda.ts'
import { isLess, refusal } from '../../worker/backend/cuda/requirements.ts'
import {
  type LoadedBinding,
  loadTensorFlowNode,
  requireNative,
} from '../../worker/backend/native/load-native-binding.ts'
import { makeNativeBackend } from '../../worker/backend/native/native-backend.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { available } from '../support/cli.ts'
import { denseGan, smoothGan } from '../support/models.ts'
import { alone, expectSameSteps, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const native = available(findNative() !== null, 'native TensorFlow')

const card = (more: Partial<NvidiaCard> = {}): NvidiaCard => ({
  ...{
    index: 0,
    name: 'NVIDIA A100',
    memoryMiB: 40960,
    driver: '535.104.05',
    uuid: 'GPU-aa',
    computeCapability: '8.0',
  },
  ...more,
})
const host = (...cards: NvidiaCard[]): Nvidia => ({ cards, driver: cards[0]?.driver ?? null, problem: null })

describe("what NVIDIA's driver tells", () => {
  it('is read from nvidia-smi, and what is no list is none', () => {
    expect(
      parseNvidia('0, NVIDIA H100 80GB HBM3, 81559, 570.86.15, GPU-6a7d, 9.0\n1, Tesla T4, [N/A], 470.57.02, GPU-01\n'),
    ).toEqual([
      {
        ...{ index: 0, name: 'NVIDIA H100 80GB HBM3', memoryMiB: 81559, driver: '570.86.15' },
        ...{ uuid: 'GPU-6a7d', computeCapability: '9.0' },
      },
      { index: 1, name: 'Tesla T4', memoryMiB: 0, driver: '470.57.02', uuid: 'GPU-01', computeCapability: null },
    ])
    expect(parseNvidia('No devices were found\n')).toEqual([])
  })

  it.each([
    ['NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC …', '535.104.05'],
    ['NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n', '570.86.15'],
    ['nothing of the kind', null],
  ])('is read from the kernel: %s', (text, version) => {
    expect(parseKernelDriver(text)).toBe(version)
  })

  it.each([
    [undefined, ['0', '1', '2']],
    ['2,0', ['2', '0']],
    ['GPU-c', ['GPU-c']],
    ['MIG-77', ['MIG-77']],
    ['1,7,0', ['1']],
    ['-1', []],
    ['', []],
  ])('counts the cards that CUDA_VISIBLE_DEVICES=%s shows', (setting, expected) => {
    const cards = ['GPU-aa', 'GPU-bb', 'GPU-cc'].map((uuid, index) => card({ index, uuid }))
    expect(visibleCards(host(...cards), setting).map(({ visible }) => visible)).toEqual(expected)
  })
})

describe('a card that TensorFlow cannot use', () => {
  it.each([
    [card(), null],
    [card({ driver: '525.60.13', computeCapability: '8.9' }), null],
    [card({ driver: '525.60.13', computeCapability: '9.0' }), /^NVIDIA's driver 525\.60\.13 is too old .*535\.54\.03/],
    [card({ driver: '470.57.02', computeCapability: null }), /^NVIDIA's driver 470\.57\.02 is too old .*525\.60\.13/],
    [card({ name: 'Tesla K80', computeCapability: '3.7' }), /^Tesla K80 has compute capability 3\.7, and .*5\.0/],
    [card({ driver: '560.35.03', computeCapability: '12.0' }), null],
  ])('is told from one that it can: %o', (found, expected) => {
    const against = refusal(host(found), found)
    if (expected === null) expect(against).toBeNull()
    else expect(against).toMatch(expected)
  })

  it('without a driver there is none', () => {
    expect(refusal({ cards: [], driver: null, problem: 'there is no nvidia-smi' }, null)).toBe(
      'the tensorflow-gpu backend finds no NVIDIA driver (there is no nvidia-smi); install 535.54.03 or newer, or write --backend tensorflow',
    )
  })

  it('versions are compared by number', () => {
    expect(isLess('525.60.13', '525.105.17')).toBe(true)
    expect(isLess('535.104.05', '535.54.03')).toBe(false)
    expect(isLess('10.0', '9.0')).toBe(false)
    expect(isLess('535', '535.0.0')).toBe(false)
  })
})

it.each([
  ['MatMul: OOM when allocating tensor with shape[12544,784]', 'device-lost', /A100 is out of memory: .*--batch-size/],
  [
    'Invalid TF_Status: 8\nMessage: OOM when allocating tensor with shape[9]',
    'device-lost',
    /A100 is out of memory: OOM when/,
  ],
  ['Failed copying input tensor from CPU:0 to GPU:0: Dst tensor is not initialized.', 'device-lost', /out of memory/],
  [
    'Conv2D: {{function_node __wrapped__Conv2D_device_/device:GPU:0}} CUDNN_STATUS_EXECUTION_FAILED',
    'device-lost',
    /A100 refused a command: Conv2D/,
  ],
  ["Foo: No registered 'Foo' OpKernel for 'GPU' devices", 'missing-kernel', /has no kernel for this model .*Foo/],
])('what TensorFlow says of a device gets a code: %s', (told, code, message) => {
  expect(inOtherWords(new Error(told), 'A100')).toMatchObject({ code, message: expect.stringMatching(message) })
})

it.each([
  'invariant broken: scopes do not nest',
  'MatMul: {{function_node __wrapped__MatMul_device_/job:localhost/replica:0/task:0/device:GPU:0}} Matrix size-incompatible',
])('what it says of anything else is left alone: %s', (told) => {
  const error = new Error(told)
  expect(inOtherWords(error, 'A100')).toBe(error)
})

it('one card is visible, and what the user has set stays', () => {
  expect(cudaSettings('GPU-aa', { CUDA_VISIBLE_DEVICES: 'GPU-bb,GPU-aa', TF_DETERMINISTIC_OPS: '0' })).toEqual({
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    CUDA_VISIBLE_DEVICES: 'GPU-aa',
    TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    NVIDIA_TF32_OVERRIDE: '0',
    TF_DETERMINISTIC_OPS: '0',
  })
})

it('the loader is asked for a shared library: its own words where it does not take it', () => {
  expect(loadProblem('libm.so.6')).toBeNull()
  expect(loadProblem('/nowhere/libcudnn.so.8')).toMatch(/libcudnn\.so\.8: cannot open shared object file/)
})

const models: Record<string, RunOptions> = {
  vae: { model: 'vae', latentSize: 8 },
  'dense gan': { description: denseGan },
  'convolutional gan': { description: smoothGan, loss: 'hinge', spectralNorm: true },
  'convolutional WGAN-GP': { description: smoothGan, loss: 'wgan-gp' },
}

describe.skipIf(!native)(
  "the backend for cards, over the CPU's library with tensors that share no memory with the host",
  () => {
    const source = tinySource(64, 16)
    let cpu: Backend
    let device: Backend
    let reads = 0

    beforeAll(() => {
      process.env.TF_CPP_MIN_LOG_LEVEL ??= '2' // errors only
      const binding = loadTensorFlowNode(requireNative('cpu'))
      const apart = changed(binding, {
        createTensor: (shape, type, values) => binding.createTensor(shape, type, values.slice()),
        tensorDataSync(id) {
          reads++
          return binding.tensorDataSync(id)
        },
      })
      cpu = makeNativeBackend(binding, '')
      device = makeCudaBackend(apart, '2.15.1', 'A100')
    })

    it.each(Object.entries(models))(
      'computes the steps of a %s as the CPU does, each from the same state',
      (_, options) => expectSameSteps(cpu, device, options, source),
    )

    it('reads once a phase, and holds as many tensors after 50 steps as after 5', async () => {
      const { trainer } = makeTrainer(device, { model: 'vae', latentSize: 4, batchSize: 4, steps: 50 }, source)
      for (let step = 0; step < 5; step++) await trainer.step(step, alone, noVotes)
      const [held, used] = [device.tensorCount(), device.deviceUse?.()]
      reads = 0
      for (let step = 5; step < 50; step++) await trainer.step(step, alone, noVotes)
      expect(reads).toBe(45)
      expect(device.tensorCount()).toBe(held)
      const now = device.deviceUse?.()
      expect(now?.readSeconds).toBeGreaterThan(Number(used?.readSeconds))
      expect(now?.uploadSeconds).toBeGreaterThan(Number(used?.uploadSeconds))
    })

    it('goes on after an evaluation that failed', async () => {
      const { trainer } = makeTrainer(device, { model: 'vae', latentSize: 4, batchSize: 4 }, source)
      await trainer.step(0, alone, noVotes)
      const held = device.tensorCount()
      const broken = () =>
        device.compute(() =>
          device.ops.matMul(
            device.ops.input(new Float32Array(4), [2, 2]),
            device.ops.input(new Float32Array(3), [3, 1]),
          ),
        )
      expect(broken).toThrow(/size-incompatible/)
      expect(device.tensorCount()).toBe(held)
      await trainer.step(1, alone, noVotes)
      expect(device.tensorCount()).toBe(held)
    })

    it('knows no bf16', () => {
      expect(() => device.useMath('bf16')).toThrow('--math bf16 needs the tensorflow backend')
      expect(() => device.useMath('fp32')).not.toThrow()
    })
  },
)

/** A binding with some of its functions replaced. */
function changed(binding: LoadedBinding, changes: Partial<LoadedBinding>): LoadedBinding {
  const properties = Object.entries(changes).map(([name, value]) => [name, { value }])
  return Object.create(binding, Object.fromEntries(properties))
}
