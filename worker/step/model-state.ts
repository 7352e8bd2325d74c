import type { RunConfig } from '../../shared/core/config.ts'
import { assert } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { type ModelSpec, type ParameterSpec, parametersOf } from '../../shared/core/model-spec.ts'
import { randomStream } from '../../shared/core/random.ts'
import { Arena, createSharedMemory, type Kernel, loadKernel } from '../../shared/kernel/kernel.ts'
import { blocksOf } from './blocks.ts'

/** What lies in front of a network's gradient and is added up by the all-reduce too: its length, and positions in it. */
export const tail = {
  floats: 32,
  loss: 0,
  scalars: 1,
  checksum: 16,
  stopVote: 21,
  pauseVote: 22,
  hostVote: 23,
  spareVote: 24,
} as const

export interface ParameterSlot extends ParameterSpec {
  readonly network: string
  readonly size: number
  readonly weights: Float32Array
  /** As many as the state has parts. */
  readonly gradients: readonly Float32Array[]
  readonly moment1: Float32Array
  readonly moment2: Float32Array
}

export interface MemoryRegion {
  readonly offset: number
  readonly bytes: number
}

export interface NetworkState {
  readonly name: string
  /** Elements of the flat regions, padding (always 0) included. */
  readonly count: number
  readonly weights: number
  /** Each with its tail in front of it; the first is what is reduced into and applied. */
  readonly gradients: readonly number[]
  readonly moment1: number
  readonly moment2: number
  readonly backup: number
  /** [updates that the optimizer has made]; 64 bytes of the shared memory. */
  readonly counter: Uint32Array
  backupSteps: number
}

/**
 * All weights, gradients and optimizer moments of a model, flat in one shared wasm memory: the main thread computes on
 * it, the communication thread reduces in it. Every parameter starts at a multiple of 64 bytes.
 */
export class ModelState {
  /** Byte ranges that make up the state: weights, moments, update counters. What travels to another worker. */
  readonly regions: MemoryRegion[] = []
  readonly memory: WebAssembly.Memory
  readonly kernel: Kernel
  readonly networks = new Map<string, NetworkState>()
  readonly slots: ParameterSlot[] = []
  readonly arena: Arena
  /** Byte offset of a region for random draws, copied out before anything else runs. */
  readonly scratch: number
  readonly scratchBytes: number
  /** Where the communication thread adds up what comes from other ranks, and where the main thread does. */
  readonly sumScratch: MemoryRegion
  readonly ownSumScratch: MemoryRegion

  /** Byte offset of the sums of squares of a gradient's blocks (slices.ts). */
  readonly squares: number

  /**
   * `parts`: gradients that are held at once, by threads or for sums in the order of the lane tree (lanes.ts). `shared`: the state
   * of another thread, with this thread's own region in its memory.
   */
  constructor(spec: ModelSpec, scratchBytes: number, parts = 1, shared?: { memory: WebAssembly.Memory; own: number }) {
    const sizes = spec.networks.map((network) =>
      parametersOf(network).reduce((sum, parameter) => sum + padded(sizeOf(parameter)), 0),
    )
    const total = sizes.reduce((sum, size) => sum + size * 6 + parts * (size + tail.floats), 0)
    const scratches = scratchBytes + 2 * limits.sumScratchBytes
    const bytes = total * 4 + scratches + 65_536 + 64 * spec.networks.length * (parts + 1)
    this.memory = shared?.memory ?? createSharedMemory(bytes)
    this.kernel = loadKernel(this.memory)
    this.arena = new Arena(this.memory)
    this.squares = this.arena.allocate(8 * blocksOf(Math.max(...sizes)))
    for (const [index, network] of spec.networks.entries()) {
      const count = sizes[index] ?? 0
      const region = (extra = 0) => this.arena.allocate((count + extra) * 4)
      const counter = new Uint32Array(this.memory.buffer, this.arena.allocate(64), 16)
      const state: NetworkState = {
        name: network.name,
        count,
        weights: region(),
        gradients: Array.from({ length: parts }, () => region(tail.floats) + tail.floats * 4),
        moment1: region(),
        moment2: region(),
        backup: this.arena.allocate(count * 12),
        counter,
        backupSteps: 0,
      }
      this.networks.set(network.name, state)
      for (const offset of [state.weights, state.moment1, state.moment2])
        this.regions.push({ offset, bytes: count * 4 })
      this.regions.push({ offset: counter.byteOffset, bytes: counter.byteLength })
      let offset = 0
      for (const parameter of parametersOf(network)) {
        const size = sizeOf(parameter)
        const view = (base: number) => this.arena.floats(base + offset * 4, size)
        this.slots.push({
          ...parameter,
          network: network.name,
          size,
          weights: view(state.weights),
          gradients: state.gradients.map(view),
          moment1: view(state.moment1),
          moment2: view(state.moment2),
        })
        offset += padded(size)
      }
    }
    if (shared) this.arena.goOnAt(shared.own)
    this.scratch = this.arena.allocate(scratchBytes)
    this.scratchBytes = scratchBytes
    const sumScratch = () => ({ offset: this.arena.allocate(limits.sumScratchBytes), bytes: limits.sumScratchBytes })
    this.sumScratch = sumScratch()
    this.ownSumScratch = sumScratch()
  }

  network(name: string): NetworkState {
    const network = this.networks.get(name)
    assert(network, `network ${name} exists`)
    return network
  }

  /** What travels in front of a network's gradient. */
  tail(name: string, part: number): Float32Array {
    const network = this.network(name)
    return this.floats((network.gradients[part] ?? 0) - tail.floats * 4, tail.floats)
  }

  floats(offset: number, count: number): Float32Array {
    return this.arena.floats(offset, count)
  }

  bytes(offset: number, count: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, offset, count)
  }

  /** Weights in name order, as the checkpoint and the hash have them. */
  sortedSlots(): ParameterSlot[] {
    return [...this.slots].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Initial weights, a pure function of the seed and the parameter's position. Biases are 0 but for `torch`. */
  initialize(seed: number, initializer: RunConfig['initializer']): void {
    for (const { offset, bytes } of this.regions) this.floats(offset, bytes / 4).fill(0)
    for (const [index, slot] of this.slots.entries()) {
      const key = { seed, stream: randomStream.init, step: index, lane: 0 }
      const kernel = slot.name.endsWith('/kernel')
      if (initializer === 'normal' && kernel) {
        this.kernel.philoxNormal(slot.weights.byteOffset, slot.size, key)
        scaleInPlace(slot.weights, 0.02, 0)
        continue
      }
      const bound = initialBound(slot, initializer, kernel)
      if (bound === 0) continue
      this.kernel.philoxUniform(slot.weights.byteOffset, slot.size, key)
      scaleInPlace(slot.weights, 2 * bound, -bound)
    }
  }

  /** Keeps weights and moments of a network, to put them back when the step fails. */
  backup(name: string): void {
    const network = this.network(name)
    for (const [index, region] of [network.weights, network.moment1, network.moment2].entries()) {
      this.floats(network.backup + index * network.count * 4, network.count).set(this.floats(region, network.count))
    }
    network.backupSteps = network.counter[0] ?? 0
  }

  restore(name: string): void {
    const network = this.network(name)
    for (const [index, region] of [network.weights, network.moment1, network.moment2].entries()) {
      this.floats(region, network.count).set(this.floats(network.backup + index * network.count * 4, network.count))
    }
    network.counter[0] = network.backupSteps
  }
}

/** Half-width of the uniform distribution. Glorot & Bengio 2010, eq. 16; `torch`: nn.Linear's 1 / √fan-in, biases too. */
function initialBound(slot: ParameterSlot, initializer: RunConfig['initializer'], kernel: boolean): number {
  if (initializer === 'torch') return 1 / Math.sqrt(slot.fanIn)
  return initializer === 'glorot' && kernel ? Math.sqrt(6 / (slot.fanIn + slot.fanOut)) : 0
}

function scaleInPlace(values: Float32Array, factor: number, shift: number): void {
  for (let index = 0; index < values.length; index++) values[index] = (values[index] ?? 0) * factor + shift
}

/** Room for the random draws of a step. */
export function scratchBytesOf(spec: ModelSpec, batchSize: number): number {
  return Math.max(batchSize, 100) * spec.latentSize * 4 + 65_536
}

/** Room that another thread needs for itself, in the memory of this state. */
export function ownBytesOf(spec: ModelSpec, batchSize: number, sampleBytes: number): number {
  return scratchBytesOf(spec, batchSize) + 2 * limits.sumScratchBytes + batchSize * sampleBytes * 5 + 4096
}

function sizeOf(parameter: ParameterSpec): number {
  return parameter.shape.reduce((product, extent) => product * extent, 1)
}

function padded(size: number): number {
  return Math.ceil(size / 16) * 16
}
