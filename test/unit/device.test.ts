import { describe, expect, it } from 'vitest'
import { automaticCrowd, checkedEngine, checkedEngines, checkedWorkers } from '../../cli/device.ts'
import { type Device, type Devices, parseNvidia } from '../../worker/backend/devices.ts'

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
    ['webgpu', 'webgpu:NVIDIA: H100', { backend: 'webgpu', device: 'NVIDIA: H100' }],
  ])('with --backend %s: %s', (backend, device, expected) => {
    expect(checkedEngine(backend, device)).toEqual(expected)
  })

  it.each([
    ['auto', 'gpu', '--device gpu is unknown; write cpu, webgpu, or webgpu:NAME with a name of ringleader devices'],
    ['auto', 'webgpu:', /^--device webgpu: is unknown; write cpu/],
    ['auto', 'cuda:1', /^--device cuda:1: NVIDIA's cards compute through WebGPU; write webgpu:NAME/],
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

it("NVIDIA's list is read, and what is no list is none", () => {
  expect(parseNvidia('0, NVIDIA H100 80GB HBM3, 81559, 570.86.15\n1, Tesla T4, [N/A], 570.86.15\n')).toEqual([
    { index: 0, name: 'NVIDIA H100 80GB HBM3', memoryMiB: 81559, driver: '570.86.15' },
    { index: 1, name: 'Tesla T4', memoryMiB: 0, driver: '570.86.15' },
  ])
  expect(parseNvidia('No devices were found\n')).toEqual([])
})
