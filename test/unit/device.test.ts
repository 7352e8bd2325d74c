import { describe, expect, it } from 'vitest'
import { automaticCrowd, checkedEngine, checkedEngines, checkedWorkers } from '../../cli/device.ts'
import type { Device, Devices } from '../../worker/backend/devices.ts'

const cpu: Device = { device: 'cpu', name: 'Z80', backend: 'tensorflow', software: false }
const gpu = (name: string, software = false): Device => ({
  device: `webgpu:${name}`,
  name,
  backend: 'webgpu',
  software,
})
const host =
  (...gpus: Device[]) =>
  (): Promise<Devices> =>
    Promise.resolve({ cores: 6, devices: [cpu, ...gpus], nvidia: [], notes: [] })

describe('--device', () => {
  it.each([
    ['auto', undefined, { backend: 'auto', device: null }],
    ['tensorflow', 'cpu', { backend: 'tensorflow', device: null }],
    ['auto', 'webgpu', { backend: 'webgpu', device: null }],
    ['auto', 'cuda', { backend: 'tensorflow-gpu', device: null }],
    ['tensorflow-gpu', 'cuda:1', { backend: 'tensorflow-gpu', device: '1' }],
    ['webgpu', 'webgpu:NVIDIA: H100', { backend: 'webgpu', device: 'NVIDIA: H100' }],
  ])('with --backend %s: %s', (backend, device, expected) => {
    expect(checkedEngine(backend, device)).toEqual(expected)
  })

  it.each([
    ['auto', 'gpu', '--device gpu is unknown; write cpu, or cuda:N or webgpu:NAME as ringleader devices lists them'],
    ['auto', 'webgpu:', /^--device webgpu: is unknown; write cpu/],
    ['auto', 'cuda:', /^--device cuda: is unknown; write cpu/],
    ['auto', 'cuda:H100', /^--device cuda:H100 is unknown; write cpu/],
    ['tensorflow', 'cuda:1', '--device cuda:1 and --backend tensorflow are two things; write --backend tensorflow-gpu'],
    ['tensorflow-gpu', 'cpu', '--device cpu and --backend tensorflow-gpu are two things; write --backend tensorflow'],
    ['webgpu', 'cpu', '--device cpu and --backend webgpu are two things; write --backend tensorflow'],
    ['wasm', 'webgpu', '--device webgpu and --backend wasm are two things; write --backend webgpu'],
  ])('with --backend %s is refused: %s', (backend, device, message) => {
    expect(() => checkedEngine(backend, device)).toThrow(message)
  })

  it('takes several, whose names may have commas', () => {
    expect(checkedEngines('auto', 'cpu,webgpu:pipe (LLVM 15, 256 bits), webgpu:Arc')).toEqual([
      { backend: 'auto', device: null },
      { backend: 'webgpu', device: 'pipe (LLVM 15, 256 bits)' },
      { backend: 'webgpu', device: 'Arc' },
    ])
  })
})

describe('--workers auto', () => {
  const open = checkedEngines('auto', undefined)

  it('is one for each GPU', async () => {
    expect(await automaticCrowd(open, host(gpu('A'), gpu('B'), gpu('llvmpipe', true)))).toEqual({
      workers: 2,
      engines: [
        { backend: 'webgpu', device: 'A' },
        { backend: 'webgpu', device: 'B' },
      ],
    })
  })

  it('is one for each card of NVIDIA where CUDA is set up, and one for each other GPU', async () => {
    const cards = [0, 1].map((number): Device => {
      return { device: `cuda:${number}`, name: 'NVIDIA A100', backend: 'tensorflow-gpu', software: false }
    })
    expect(await automaticCrowd(open, host(...cards, gpu('NVIDIA A100'), gpu('Intel Arc')))).toEqual({
      workers: 3,
      engines: [
        { backend: 'tensorflow-gpu', device: '0' },
        { backend: 'tensorflow-gpu', device: '1' },
        { backend: 'webgpu', device: 'Intel Arc' },
      ],
    })
  })

  it('is one for each core without a GPU, and where the user says what computes', async () => {
    expect(await automaticCrowd(open, host(gpu('llvmpipe', true)))).toEqual({ workers: 6, engines: open })
    const cpus = checkedEngines('tensorflow', undefined)
    expect(await automaticCrowd(cpus, host(gpu('A')))).toEqual({ workers: 6, engines: cpus })
  })

  it('is the only word among the numbers', () => {
    expect(checkedWorkers('3')).toBe(3)
    for (const value of ['many', '0', '1.5'])
      expect(() => checkedWorkers(value)).toThrow(`--workers ${value}: write a whole`)
  })
})
