import type { RunConfig } from '../../shared/core/config.ts'
import { assert } from '../../shared/core/errors.ts'
import { type ModelSpec, type ParameterSpec, parametersOf } from '../../shared/core/model-spec.ts'
import { randomStream } from '../../shared/core/random.ts'
import { Arena, createSharedMemory, type Kernel, loadKernel } from '../../shared/kernel/kernel.ts'

/** Floats behind a network's gradient that the all-reduce adds up too: scalars, sample checksums, votes. */
export const tailFloats = 32

export interface ParameterSlot extends ParameterSpec {
  readonly network: string
  readonly size: number
  readonly weights: Float32Array
  readonly gradient: Float32Array
  readonly moment1: Float32Array
  readonly moment2: Float32Array
}

export interface NetworkState {
  readonly name: string
  /** Elements of the flat regions, padding (always 0) included. */
  readonly count: number
  readonly weights: number
  readonly gradient: number
  readonly moment1: number
  readonly moment2: number
  readonly backup: number
  readonly tail: Float32Array
  /** Updates that the optimizer has made. */
  optimizerSteps: number
  backupSteps: number
}

/**
 * All weights, gradients and optimizer moments of a model, flat in one shared wasm memory: the main thread computes on
 * it, the communication thread reduces in it. Every parameter starts at a multiple of 64 bytes.
 */
export class ModelState {
  readonly memory: WebAssembly.Memory
  readonly kernel: Kernel
  readonly networks = new Map<string, NetworkState>()
  readonly slots: ParameterSlot[] = []
  readonly arena: Arena
  /** Byte offset of a region for random draws, copied out before anything else runs. */
  readonly scratch: number
  readonly scratchBytes: number

  constructor(spec: ModelSpec, scratchBytes: number) {
    const sizes = spec.networks.map((network) =>
      parametersOf(network).reduce((sum, parameter) => sum + padded(sizeOf(parameter)), 0),
    )
    const total = sizes.reduce((sum, size) => sum + size * 7 + tailFloats, 0)
    this.memory = createSharedMemory(total * 4 + scratchBytes + 65_536)
    this.kernel = loadKernel(this.memory)
    this.arena = new Arena(this.memory)
    this.scratch = this.arena.allocate(scratchBytes)
    this.scratchBytes = scratchBytes
    for (const [index, network] of spec.networks.entries()) {
      const count = sizes[index] ?? 0
      const region = (extra = 0) => this.arena.allocate((count + extra) * 4)
      const state = {
        name: network.name,
        count,
        weights: region(),
        gradient: region(tailFloats),
        moment1: region(),
        moment2: region(),
        backup: this.arena.allocate(count * 12),
        optimizerSteps: 0,
        backupSteps: 0,
      }
      this.networks.set(network.name, { ...state, tail: this.arena.floats(state.gradient + count * 4, tailFloats) })
      let offset = 0
      for (const parameter of parametersOf(network)) {
        const size = sizeOf(parameter)
        const view = (base: number) => this.arena.floats(base + offset * 4, size)
        this.slots.push({
          ...parameter,
          network: network.name,
          size,
          weights: view(state.weights),
          gradient: view(state.gradient),
          moment1: view(state.moment1),
          moment2: view(state.moment2),
        })
        offset += padded(size)
      }
    }
  }

  network(name: string): NetworkState {
    const network = this.networks.get(name)
    assert(network, `network ${name} exists`)
    return network
  }

  floats(offset: number, count: number): Float32Array {
    return this.arena.floats(offset, count)
  }

  /** Weights in name order, as the checkpoint and the hash have them. */
  sortedSlots(): ParameterSlot[] {
    return [...this.slots].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Initial weights, a pure function of the seed and the parameter's position. Biases are 0 but for `torch`. */
  initialize(seed: number, initializer: RunConfig['initializer']): void {
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
    network.backupSteps = network.optimizerSteps
  }

  restore(name: string): void {
    const network = this.network(name)
    for (const [index, region] of [network.weights, network.moment1, network.moment2].entries()) {
      this.floats(region, network.count).set(this.floats(network.backup + index * network.count * 4, network.count))
    }
    network.optimizerSteps = network.backupSteps
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

function sizeOf(parameter: ParameterSpec): number {
  return parameter.shape.reduce((product, extent) => product * extent, 1)
}

function padded(size: number): number {
  return Math.ceil(size / 16) * 16
}
