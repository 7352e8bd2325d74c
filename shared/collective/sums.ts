import { assert } from '../core/errors.ts'
import type { Payload } from '../transport/transport.ts'
import { type LaneNode, maximumNodes, mergeHalves } from './lanes.ts'

/** The memory in which buckets are reduced. */
export interface AllReduceMemory {
  /** View of float32 elements, by their offset in elements. */
  floats(offset: number, count: number): Float32Array
  /** Room of the same memory for parts on their way into a sum. */
  readonly scratch: Float32Array
  /** `target += source`, elementwise. */
  add(target: Float32Array, source: Float32Array): void
}

/** A part of a sum: what a peer sent, or what lies in this rank's memory. */
export type Part = Payload | Float32Array

/**
 * Sums of parts in a fixed order, block by block: a part is brought into a corner of the memory that stays in the core's
 * cache, and added from there by the SIMD kernel.
 */
export class Sums {
  /** Parts of all ranks. */
  readonly parts: number
  readonly #memory: AllReduceMemory
  /** Parts of each rank, and where they begin in the list of all. */
  readonly #counts: readonly number[]
  readonly #first: readonly number[]
  readonly #nodes: readonly LaneNode[] | null
  readonly #blocks: readonly Float32Array[]
  readonly #blockElements: number

  /** `lanes`: subtrees of the lane tree that each rank offers; null: one sum of each rank. */
  constructor(memory: AllReduceMemory, worldSize: number, lanes: readonly (readonly LaneNode[])[] | null) {
    this.#memory = memory
    this.#counts = lanes?.map((nodes) => nodes.length) ?? new Array<number>(worldSize).fill(1)
    let parts = 0
    this.#first = this.#counts.map((count) => {
      parts += count
      return parts - count
    })
    this.parts = parts
    this.#nodes = lanes?.flat() ?? null
    const leaves = total((this.#nodes ?? []).map((node) => node.lanes))
    const depth = this.#nodes ? maximumNodes(leaves) + 1 : 2
    const elements = Math.floor(memory.scratch.length / depth / 16) * 16
    assert(elements > 0, 'the scratch holds a block for each part')
    this.#blockElements = elements
    this.#blocks = Array.from({ length: depth }, (_, index) =>
      memory.scratch.subarray(index * elements, (index + 1) * elements),
    )
  }

  /** Place of a rank's part in the list of all; null where the rank offers no such part. */
  placeOf(rank: number, part: number): number | null {
    return part < (this.#counts[rank] ?? 0) ? (this.#first[rank] ?? 0) + part : null
  }

  /**
   * `target` = the sum of all parts of all ranks: in the order of the lane tree if there is one, else of the ranks. Here and
   * below, what a peer sent is read for the last time.
   */
  sum(target: Float32Array, parts: readonly Part[]): void {
    if (this.#nodes) this.#inTreeOrder(target, parts, this.#nodes)
    else this.inOrder(target, parts)
  }

  copy(target: Float32Array, part: Payload): void {
    copy(part, target, 0)
    release(part)
  }

  /** `target += part`. */
  add(target: Float32Array, part: Payload): void {
    this.#eachBlock(target, (some, from) => this.#memory.add(some, this.#read(part, 0, from, some.length)))
    release(part)
  }

  /** `target` = ((p0 + p1) + p2) + …; the part in this rank's memory, where there is one, is `target` itself. */
  inOrder(target: Float32Array, parts: readonly Part[]): void {
    const own = parts.findIndex((part) => part instanceof Float32Array)
    this.#eachBlock(target, (some, from) => {
      // p0 + p1 is commutative, so the target may hold either of them.
      const first = own === 0 || own === 1 ? own : 0
      const mine = own > 1 ? this.#bring(target, 1, from, some.length) : some
      if (first !== own) copy(parts[0] ?? target, some, from)
      for (const [index, part] of parts.entries()) {
        if (index === first) continue
        this.#memory.add(some, index === own ? mine : this.#read(part, 0, from, some.length))
      }
    })
    for (const part of parts) release(part)
  }

  #inTreeOrder(target: Float32Array, parts: readonly Part[], nodes: readonly LaneNode[]): void {
    this.#eachBlock(target, (some, from) => {
      const stack: LaneNode[] = []
      const block = (index: number) => (this.#blocks[index] ?? some).subarray(0, some.length)
      for (const [index, node] of nodes.entries()) {
        this.#bring(parts[index] ?? some, stack.length, from, some.length)
        stack.push(node)
        mergeHalves(stack, (into, other) => this.#memory.add(block(into), block(other)))
      }
      assert(stack.length === 1, 'the lanes of all ranks make up the whole tree')
      some.set(block(0))
    })
    for (const part of parts) release(part)
  }

  /** A block of a part, to be read alone: where it lies, if that is the kernels' memory. */
  #read(part: Part, block: number, from: number, count: number): Float32Array {
    const there = part instanceof Float32Array ? null : part.values
    return there?.subarray(from, from + count) ?? this.#bring(part, block, from, count)
  }

  /** A block of a part, in the scratch. */
  #bring(part: Part, block: number, from: number, count: number): Float32Array {
    const room = this.#blocks[block]?.subarray(0, count)
    assert(room, 'the scratch has so many blocks')
    copy(part, room, from)
    return room
  }

  #eachBlock(target: Float32Array, work: (some: Float32Array, from: number) => void): void {
    for (let from = 0; from < target.length; from += this.#blockElements)
      work(target.subarray(from, from + this.#blockElements), from)
  }
}

function total(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0)
}

function copy(part: Part, target: Float32Array, from: number): void {
  if (part instanceof Float32Array) target.set(part.subarray(from, from + target.length))
  else part.copyTo(bytesOf(target), from * 4)
}

function release(part: Part): void {
  if (!(part instanceof Float32Array)) part.release?.()
}

export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
