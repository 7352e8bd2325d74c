import { availableParallelism, cpus } from 'node:os'
import { messageOf } from '../../shared/core/errors.ts'
import { askNvidia, type Nvidia, type NvidiaCard, visibleCards } from './cuda/nvidia.ts'
import { refusal } from './cuda/requirements.ts'
import { findNative } from './native/native-cache.ts'
import { deviceNames, loadDawn } from './webgpu/webgpu-library.ts'

/** What a worker of this host can compute on. */
export interface Device {
  /** What `--device` takes. */
  readonly device: string
  readonly name: string
  readonly backend: 'tensorflow' | 'tensorflow-gpu' | 'webgpu' | 'wasm'
  /** A GPU in software: right, and slow. */
  readonly software: boolean
}

export interface Devices {
  readonly cores: number
  readonly devices: readonly Device[]
  /** Cards of NVIDIA, as their driver tells, whether anything here computes on them or not. */
  readonly nvidia: readonly NvidiaCard[]
  /** Why there are no GPUs, or fewer than expected. */
  readonly notes: readonly string[]
}

const softwareNames = /llvmpipe|SwiftShader|Basic Render/i

/** All that there is; where something cannot be asked, a note says why. */
export async function findDevices(): Promise<Devices> {
  const notes: string[] = []
  const [gpus, nvidia] = await Promise.all([webgpuNames(notes), askNvidia()])
  const distinct = [...new Set(gpus)]
  if (distinct.length < gpus.length)
    notes.push(
      `${gpus.length} GPUs have ${distinct.length} names; WebGPU tells those of the same name apart by nothing`,
    )
  if (nvidia.cards.length > 0 && gpus.every((name) => softwareNames.test(name)))
    notes.push("WebGPU does not find NVIDIA's cards: the Vulkan part of their driver is missing (docs/gpu.md)")
  const cpu: Device = {
    ...{ device: 'cpu', name: cpus()[0]?.model.trim() || 'CPU', software: false },
    backend: findNative() ? 'tensorflow' : 'wasm',
  }
  const webgpu = distinct.map((name): Device => {
    return { device: `webgpu:${name}`, name, backend: 'webgpu', software: softwareNames.test(name) }
  })
  return {
    cores: availableParallelism(),
    devices: [cpu, ...cudaDevices(nvidia, notes), ...webgpu],
    nvidia: nvidia.cards,
    notes,
  }
}

function cudaDevices(nvidia: Nvidia, notes: string[]): Device[] {
  const cards = visibleCards(nvidia)
  if (cards.length === 0) return []
  if (!findNative('gpu')) {
    notes.push("`ringleader setup --gpu` lets TensorFlow's own kernels compute on NVIDIA's cards (docs/gpu.md)")
    return []
  }
  return cards.flatMap(({ card, visible }, number): Device[] => {
    const against = refusal(nvidia, card)
    if (against !== null) notes.push(against)
    const name = card?.name ?? visible
    return against === null ? [{ device: `cuda:${number}`, name, backend: 'tensorflow-gpu', software: false }] : []
  })
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
