import {
  type CompressionOptions,
  type CompressionPlan,
  planCompression,
} from '../../shared/compression/compression-plan.ts'
import { assert } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { Arena, createSharedMemory, type Kernel, loadKernel } from '../../shared/kernel/kernel.ts'
import { type ParameterSpec, parametersOf } from '../../shared/model/parameters.ts'
import { averageOf, type ModelSpec } from '../../shared/model/spec.ts'
import { turnsEach } from '../backend/backend.ts'
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
  checkpointVote: 25,
  factorsVote: 26,
  copiesVote: 30,
  /** Of a pipeline: sums of squares of up to two networks' gradients, and the part of the time that the ranks waited for neighbours. */
  squares: 27,
  bubble: 29,
} as const

/** A tensor of the flat weights. */
export interface WeightSlot extends ParameterSpec {
  readonly network: string
  readonly size: number
  readonly weights: Float32Array
}

export interface ParameterSlot extends WeightSlot {
  /** As many as the state has parts. */
  readonly gradients: readonly Float32Array[]
  readonly moment1: Float32Array
  readonly moment2: Float32Array
}

export interface MemoryRegion {
  readonly offset: number
  readonly bytes: number
}

/** Byte offsets of the factors of all rows of a batch: activations [rows, inputs], d loss / d product [rows, outputs]. */
export interface FactorRoom {
  readonly inputs: number
  readonly outputs: number
  readonly a: number
  readonly dy: number
  /** Room for a piece of the product, of so many rows, of each thread. */
  readonly pieces: readonly number[]
  readonly pieceRows: number
  /** For parts of the sum of squares, float64 (factors.ts). */
  readonly squares: number
}

export interface NetworkState {
  readonly name: string
  /** Elements of the flat regions, padding (always 0) included. */
  readonly count: number
  /** Byte offsets; `place` moves them, and the views of the slots. */
  readonly weights: number
  readonly moment1: number
  readonly moment2: number
  /** Each with its tail in front of it; the first is what is reduced into and applied. */
  readonly gradients: readonly number[]
  /** Byte offset of the sums of squares of the gradient's blocks, float64 (slices.ts). */
  readonly squares: number
  /** The moving average of the weights; null where none is kept. */
  readonly average: number | null
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
  /** Moving averages, as networks of their own. */
  readonly averages: WeightSlot[] = []
  readonly arena: Arena
  /** Byte offset of a region for random draws, copied out before anything else runs. */
  readonly scratch: number
  readonly scratchBytes: number
  /** Where the communication thread adds up what comes from other ranks, and where the main thread does. */
  readonly sumScratch: MemoryRegion
  readonly ownSumScratch: MemoryRegion
  /** Room for compressed gradients and for what they lose; null where they are not compressed. */
  compression: CompressionPlan | null = null

  /** 16 floats that are always 0, for ranks that wait for each other by adding them up. */
  readonly meeting: number

  /** Room for the factors of wide gradients, by parameter (factors.ts). */
  readonly factors = new Map<string, FactorRoom>()

  readonly #blank = new Set<string>()

  /** Words by which threads take turns at a gradient, `turnsEach` for each slot (backend.ts). */
  readonly turns: Int32Array
  /**
   * `parts`: gradients that are held at once, by threads or for sums in the order of the lane tree (lanes.ts). `shared`: the state
   * of another thread, with this thread's own region in its memory.
   */
  constructor(spec: ModelSpec, scratchBytes: number, parts = 1, shared?: { memory: WebAssembly.Memory; own: number }) {
    const sizes = spec.networks.map((network) =>
      parametersOf(network).reduce((sum, parameter) => sum + padded(sizeOf(parameter)), 0),
    )
    const total = sizes.reduce((sum, size) => sum + size * 8 + parts * (size + tail.floats), 0)
    const scratches = scratchBytes + 2 * limits.sumScratchBytes
    const bytes = total * 4 + scratches + 65_536 + 64 * spec.networks.length * (parts + 1)
    this.memory = shared?.memory ?? createSharedMemory(bytes)
    this.kernel = loadKernel(this.memory)
    this.arena = new Arena(this.memory)
    const turns = spec.networks.reduce((sum, network) => sum + parametersOf(network).length * turnsEach, 0)
    this.turns = new Int32Array(this.memory.buffer, this.arena.allocate(turns * 4), turns)
    this.meeting = this.arena.allocate(64)
    for (const [index, network] of spec.networks.entries()) {
      const count = sizes[index] ?? 0
      const region = (extra = 0) => this.arena.allocate((count + extra) * 4)
      const counter = new Uint32Array(this.memory.buffer, this.arena.allocate(64), 16)
      const state: NetworkState = {
        name: network.name,
        count,
        gradients: Array.from({ length: parts }, () => region(tail.floats) + tail.floats * 4),
        squares: this.arena.allocate(8 * blocksOf(count)),
        weights: region(),
        moment1: region(),
        moment2: region(), // behind the weights, in this order: `place`
        average: spec.averages.includes(network.name) ? region() : null,
        backup: this.arena.allocate(count * 16),
        counter,
        backupSteps: 0,
      }
      this.networks.set(network.name, state)
      for (const offset of heldRegions(state)) this.regions.push({ offset, bytes: count * 4 })
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
        if (state.average !== null) {
          const name = parameter.name.replace(network.name, averageOf(network.name))
          this.averages.push({ ...parameter, name, network: network.name, size, weights: view(state.average) })
        }
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

  /** Takes the room that compressed gradients need. */
  compress(options: CompressionOptions): void {
    const reduced = [...this.networks.values()].map(({ gradients: [first = 0], count }) => ({
      ...{ offset: first - tail.floats * 4, bytes: (count + tail.floats) * 4 },
    }))
    this.compression = planCompression(options, this.arena, reduced)
  }

  /** Takes the room that factors of all ranks need, for batches of so many rows, where they are smaller than the gradient, and so many threads. */
  factorize(batchSize: number, threads: number): void {
    for (const { name, shape, size } of this.slots) {
      const [inputs = 0, outputs = 0] = shape
      const floats = batchSize * (inputs + outputs)
      const aligned = [inputs, outputs].every((extent) => extent % 16 === 0) // so is each row
      if (shape.length !== 2 || size * 4 < limits.wideBytes || !aligned || 2 * floats > size) continue
      const room = (extent: number) => this.arena.allocate(batchSize * extent * 4)
      const pieceRows = Math.max(16, Math.floor(limits.factorPieceBytes / 4 / outputs / 16) * 16)
      const pieces = Array.from({ length: threads }, () => this.arena.allocate(pieceRows * outputs * 4))
      const squares = this.arena.allocate(64)
      this.factors.set(name, { inputs, outputs, a: room(inputs), dy: room(outputs), pieces, pieceRows, squares })
    }
  }

  /** The first word of its turns. */
  turnOf(parameter: string): number {
    return this.slots.findIndex(({ name }) => name === parameter) * turnsEach
  }

  /** The gradient of this parameter is 0 until one is written again: it is made of its factors. */
  blank({ name, gradients: [gradient] }: ParameterSlot): void {
    if (!this.#blank.has(name)) gradient?.fill(0)
    this.#blank.add(name)
  }

  written(name: string): void {
    this.#blank.delete(name)
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

  /** Weights and moments of a network, one behind the other, lie there from now on. */
  place(name: string, weights: number): void {
    const network = this.network(name)
    const [moment1, moment2] = [weights + network.count * 4, weights + network.count * 8]
    for (const slot of this.slots.filter((other) => other.network === name)) {
      const offset = slot.weights.byteOffset - network.weights
      const view = (base: number) => this.floats(base + offset, slot.size)
      Object.assign(slot, { weights: view(weights), moment1: view(moment1), moment2: view(moment2) })
    }
    Object.assign(network, { weights, moment1, moment2 })
  }

  /** Weights in name order, as the checkpoint and the hash have them. */
  sortedSlots(): WeightSlot[] {
    return this.allSlots().sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Weights and moving averages. */
  allSlots(): WeightSlot[] {
    return [...this.slots, ...this.averages]
  }

  /** Keeps what an update changes of a network, to put it back when the step fails. */
  backup(name: string): void {
    const network = this.network(name)
    for (const [index, region] of heldRegions(network).entries()) {
      this.floats(network.backup + index * network.count * 4, network.count).set(this.floats(region, network.count))
    }
    network.backupSteps = network.counter[0] ?? 0
  }

  restore(name: string): void {
    const network = this.network(name)
    for (const [index, region] of heldRegions(network).entries()) {
      this.floats(region, network.count).set(this.floats(network.backup + index * network.count * 4, network.count))
    }
    network.counter[0] = network.backupSteps
  }
}

/** Regions of a network's state. */
function heldRegions({ weights, moment1, moment2, average }: NetworkState): number[] {
  return [weights, moment1, moment2, ...(average === null ? [] : [average])]
}

function sizeOf(parameter: ParameterSpec): number {
  return parameter.shape.reduce((product, extent) => product * extent, 1)
}

function padded(size: number): number {
  return Math.ceil(size / 16) * 16
}
