import { execFile } from 'node:child_process'
import { availableParallelism, cpus } from 'node:os'
import { promisify } from 'node:util'
import { messageOf } from '../../shared/core/errors.ts'
import { findNative } from './native/native-cache.ts'
import { deviceNames, loadDawn } from './webgpu/webgpu-library.ts'

/** What a worker of this host can compute on. */
export interface Device {
  /** What `--device` takes. */
  readonly device: string
  readonly name: string
  readonly backend: 'tensorflow' | 'webgpu' | 'wasm'
  /** A GPU in software: right, and slow. */
  readonly software: boolean
}

export interface Devices {
  readonly cores: number
  readonly devices: readonly Device[]
  /** Cards of NVIDIA, as their driver tells, whether WebGPU finds them or not. */
  readonly nvidia: readonly NvidiaCard[]
  /** Why there are no GPUs, or fewer than expected. */
  readonly notes: readonly string[]
}

interface NvidiaCard {
  readonly index: number
  readonly name: string
  readonly memoryMiB: number
  readonly driver: string
}

const softwareNames = /llvmpipe|SwiftShader|Basic Render/i
const answerMs = 10_000

/** All that there is; where something cannot be asked, a note says why. */
export async function findDevices(): Promise<Devices> {
  const notes: string[] = []
  const [gpus, nvidia] = await Promise.all([webgpuNames(notes), nvidiaCards()])
  const distinct = [...new Set(gpus)]
  if (distinct.length < gpus.length)
    notes.push(
      `${gpus.length} GPUs have ${distinct.length} names; WebGPU tells those of the same name apart by nothing`,
    )
  if (nvidia.length > 0 && gpus.every((name) => softwareNames.test(name)))
    notes.push("WebGPU does not find NVIDIA's cards: the Vulkan part of their driver is missing (docs/gpu.md)")
  const cpu: Device = {
    ...{ device: 'cpu', name: cpus()[0]?.model.trim() || 'CPU', software: false },
    backend: findNative() ? 'tensorflow' : 'wasm',
  }
  const webgpu = distinct.map((name): Device => {
    return { device: `webgpu:${name}`, name, backend: 'webgpu', software: softwareNames.test(name) }
  })
  return { cores: availableParallelism(), devices: [cpu, ...webgpu], nvidia, notes }
}

async function webgpuNames(notes: string[]): Promise<string[]> {
  try {
    const names = await deviceNames(await loadDawn())
    if (names.length === 0)
      notes.push('WebGPU finds no GPU: Vulkan, Metal or Direct3D 12 has to know one (docs/gpu.md)')
    return names
  } catch (error) {
    notes.push(messageOf(error))
    return []
  }
}

async function nvidiaCards(): Promise<NvidiaCard[]> {
  const query = ['--query-gpu=index,name,memory.total,driver_version', '--format=csv,noheader,nounits']
  try {
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: answerMs })
    return parseNvidia(stdout)
  } catch {
    return [] // no driver of theirs
  }
}

/** Lines such as `0, NVIDIA H100 80GB HBM3, 81559, 570.86.15`. */
export function parseNvidia(text: string): NvidiaCard[] {
  return text.split('\n').flatMap((line) => {
    const [index = '', name = '', memory = '', driver = ''] = line.split(',').map((part) => part.trim())
    return /^\d+$/.test(index) ? [{ index: Number(index), name, memoryMiB: Number(memory) || 0, driver }] : []
  })
}
