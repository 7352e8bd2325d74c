import { assert } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { decodeFrameHeader, encodeFrameHeader, type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Transport } from '../transport/transport.ts'
import { type LaneNode, mergeHalves } from './lanes.ts'

/**
 * Direct all-reduce: reduce-scatter and all-gather in one hop each.
 *
 * A bucket of E elements is cut into N chunks; rank r owns chunk r. Every rank sends its part of chunk r to r, in
 * segments; r adds the N parts of a segment in rank order 0 … N−1 and sends the sum to all others. Each rank moves
 * 2 E (N−1)/N elements, as a ring does, in two hops instead of 2 (N−1). The owner alone adds, always in rank order, so
 * all replicas hold the same bits and so does a second run.
 *
 * With `lanes` a rank offers its partial sums over subtrees of the lane tree instead of one sum, and the owner adds all of
 * them in the order of the tree: then the bits do not depend on N either (lanes.ts).
 */
export interface AllReduceMemory {
  /** View of the bucket to reduce in place, float32 elements. */
  bucket(offset: number, count: number): Float32Array
  /** `target += source`, elementwise. */
  add(target: Float32Array, source: Float32Array): void
}

export interface DirectOptions {
  readonly run: bigint
  readonly generation: number
  readonly rank: number
  readonly worldSize: number
  readonly transport: Transport
  readonly memory: AllReduceMemory
  readonly segmentElements?: number
  /** Subtrees that each rank offers, by rank; left out: one sum for each rank, added in rank order. */
  readonly lanes?: readonly (readonly LaneNode[])[]
}

export interface AllReduceReport {
  /** Payload bytes that this rank sent. */
  readonly bytes: number
}

interface Operation {
  readonly step: number
  readonly bucket: number
  /** Where this rank's partial sums are; the result goes to the first. */
  readonly offsets: readonly number[]
  readonly count: number
  /** Parts that wait for the others, by segment of the own chunk: by rank, and by part within. */
  readonly parts: Map<number, (Float32Array | undefined)[]>
  remaining: number
  bytes: number
  resolve(report: AllReduceReport): void
  reject(error: Error): void
}

export class DirectAllReduce {
  /** Frames of another run or generation, and frames that are none: dropped and counted. */
  staleFrames = 0
  malformedFrames = 0
  /** Reductions that this rank has begun, and those that are done: who waits for whom. */
  entered = 0
  reduced = 0
  readonly #options: DirectOptions
  readonly #segment: number
  readonly #operations = new Map<string, Operation>()
  readonly #early = new Map<string, [FrameHeader, Uint8Array][]>()
  #earlyBytes = 0
  #aborted: Error | null = null
  /** Parts of each rank, and where they begin in the list of all. */
  readonly #parts: readonly number[]
  readonly #firstPart: readonly number[]

  constructor(options: DirectOptions) {
    this.#options = options
    this.#parts = options.lanes?.map((nodes) => nodes.length) ?? range(options.worldSize).map(() => 1)
    this.#firstPart = this.#parts.map((_, rank) => this.#parts.slice(0, rank).reduce((sum, count) => sum + count, 0))
    this.#segment = options.segmentElements ?? limits.segmentBytes / 4
  }

  /** Adds a bucket over all ranks, into the first of this rank's partial sums. Rejects, on every rank, once aborted. */
  allReduce(step: number, bucket: number, offsets: readonly number[], count: number): Promise<AllReduceReport> {
    if (this.#aborted) return Promise.reject(this.#aborted)
    const { rank, worldSize } = this.#options
    this.entered++
    if (worldSize === 1 || count === 0) return Promise.resolve({ bytes: 0 })
    assert(offsets.length === this.#parts[rank], 'a rank offers the partial sums that its lanes make')
    const key = `${step}/${bucket}`
    assert(!this.#operations.has(key), `bucket ${bucket} of step ${step} is reduced twice`)
    return new Promise((resolve, reject) => {
      const own = this.#chunk(rank, count)
      const segmentsOfOthers = range(worldSize)
        .filter((other) => other !== rank)
        .reduce((sum, other) => sum + this.#segments(this.#chunk(other, count)), 0)
      const operation: Operation = {
        step,
        bucket,
        offsets,
        count,
        parts: new Map(),
        remaining: this.#segments(own) + segmentsOfOthers,
        bytes: 0,
        resolve,
        reject,
      }
      this.#operations.set(key, operation)
      this.#contribute(operation)
      const early = this.#early.get(key) ?? []
      this.#early.delete(key)
      for (const [header, payload] of early) {
        this.#earlyBytes -= payload.byteLength
        this.#accept(operation, header, payload)
      }
      this.#finish(operation)
    })
  }

  receive(headerBytes: Uint8Array, payload: Uint8Array): void {
    const header = decodeFrameHeader(headerBytes)
    if (!header || payload.byteLength !== header.count * 4) {
      this.malformedFrames++
      return
    }
    const { run, generation, worldSize, rank } = this.#options
    if (header.run !== run || header.generation !== generation) {
      this.staleFrames++
      return
    }
    if (this.#aborted || header.kind === frameKind.probe) return
    if (header.sender >= worldSize || header.sender === rank) {
      this.malformedFrames++
      return
    }
    const key = `${header.step}/${header.bucket}`
    const operation = this.#operations.get(key)
    if (operation) {
      this.#accept(operation, header, payload)
      this.#finish(operation)
      return
    }
    this.#earlyBytes += payload.byteLength
    if (this.#earlyBytes > limits.maxEarlyBytes) {
      this.abort(new Error(`rank ${header.sender} sent more than ${limits.maxEarlyBytes} bytes ahead`))
      return
    }
    const waiting = this.#early.get(key)
    if (waiting) waiting.push([header, payload])
    else this.#early.set(key, [[header, payload]])
  }

  /** Fails every open operation, and every later one. */
  abort(reason: Error): void {
    if (this.#aborted) return
    this.#aborted = reason
    const open = [...this.#operations.values()]
    this.#operations.clear()
    this.#early.clear()
    for (const operation of open) operation.reject(reason)
  }

  #contribute(operation: Operation): void {
    const { rank, worldSize, memory } = this.#options
    for (let hop = 1; hop < worldSize; hop++) {
      const owner = (rank + hop) % worldSize // start at the next rank, so that not all send to rank 0 at once
      const chunk = this.#chunk(owner, operation.count)
      for (let start = chunk.start, segment = 0; start < chunk.end; start += this.#segment, segment++) {
        const count = Math.min(this.#segment, chunk.end - start)
        for (const [part, offset] of operation.offsets.entries()) {
          const values = memory.bucket(offset + start, count)
          this.#send(operation, owner, { kind: frameKind.contribution, segment, part, offset: start }, values)
        }
      }
    }
  }

  #accept(operation: Operation, header: FrameHeader, payload: Uint8Array): void {
    const { rank, worldSize, memory } = this.#options
    const owner = header.kind === frameKind.contribution ? rank : header.sender
    const chunk = this.#chunk(owner, operation.count)
    const start = chunk.start + header.segment * this.#segment
    if (header.offset !== start || start >= chunk.end || header.count !== Math.min(this.#segment, chunk.end - start)) {
      this.malformedFrames++
      this.abort(new Error(`rank ${header.sender} cut bucket ${header.bucket} of step ${header.step} otherwise`))
      return
    }
    const values = floats(payload)
    const target = memory.bucket((operation.offsets[0] ?? 0) + start, header.count)
    if (header.kind === frameKind.reduced) {
      target.set(values)
      operation.remaining--
      return
    }
    const all = this.#parts.reduce((sum, count) => sum + count, 0)
    const parts = operation.parts.get(header.segment) ?? new Array<Float32Array | undefined>(all).fill(undefined)
    const place = (this.#firstPart[header.sender] ?? 0) + header.part
    if (header.part >= (this.#parts[header.sender] ?? 0) || parts[place]) {
      this.malformedFrames++
      return
    }
    parts[place] = values
    operation.parts.set(header.segment, parts)
    if (parts.filter((part) => part !== undefined).length < all - operation.offsets.length) return
    operation.parts.delete(header.segment)
    if (this.#options.lanes) this.#sumInTreeOrder(operation, start, target, parts)
    else this.#sumInRankOrder(target, parts)
    const at = { kind: frameKind.reduced, segment: header.segment, part: 0, offset: start }
    for (let other = 0; other < worldSize; other++) if (other !== rank) this.#send(operation, other, at, target)
    operation.remaining--
  }

  #sumInTreeOrder(
    operation: Operation,
    start: number,
    target: Float32Array,
    parts: (Float32Array | undefined)[],
  ): void {
    const { rank, memory, lanes = [] } = this.#options
    for (const [part, offset] of operation.offsets.entries())
      parts[(this.#firstPart[rank] ?? 0) + part] = memory.bucket(offset + start, target.length)
    const sums: Float32Array[] = []
    const stack: LaneNode[] = []
    for (const [index, node] of lanes.flat().entries()) {
      stack.push(node)
      sums.push(parts[index] ?? target)
      mergeHalves(stack, (into, from) => {
        memory.add(sums[into] ?? target, sums[from] ?? target)
        sums.pop()
      })
    }
    assert(sums.length === 1, 'the lanes of all ranks make up the whole tree')
    if (sums[0] !== parts[this.#firstPart[rank] ?? 0]) target.set(sums[0] ?? target)
  }

  #sumInRankOrder(own: Float32Array, parts: readonly (Float32Array | undefined)[]): void {
    const { rank, memory } = this.#options
    if (rank <= 1) {
      // g0 + g1 is commutative, so ranks 0 and 1 may add into their own part; the rest follows in order.
      for (const part of parts) if (part) memory.add(own, part)
      return
    }
    const mine = own.slice()
    own.set(parts[0] ?? mine)
    for (let other = 1; other < parts.length; other++) memory.add(own, other === rank ? mine : (parts[other] ?? mine))
  }

  #send(
    operation: Operation,
    to: number,
    at: Pick<FrameHeader, 'kind' | 'segment' | 'part' | 'offset'>,
    values: Float32Array,
  ): void {
    const { run, generation, rank, transport } = this.#options
    const { step, bucket } = operation
    const header = encodeFrameHeader({ ...at, run, generation, step, bucket, sender: rank, count: values.length })
    operation.bytes += values.byteLength
    transport.send(to, header, new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }

  #finish(operation: Operation): void {
    if (operation.remaining > 0) return
    if (!this.#operations.delete(`${operation.step}/${operation.bucket}`)) return
    this.reduced++
    operation.resolve({ bytes: operation.bytes })
  }

  /** Chunk of a rank: [start, end), cut at multiples of 16 elements so that every view is 64-byte aligned. */
  #chunk(rank: number, count: number): { start: number; end: number } {
    const { worldSize } = this.#options
    const cut = (index: number) =>
      index === worldSize ? count : Math.min(count, Math.floor((index * count) / worldSize / 16) * 16)
    return { start: cut(rank), end: cut(rank + 1) }
  }

  #segments(chunk: { start: number; end: number }): number {
    return Math.ceil((chunk.end - chunk.start) / this.#segment)
  }
}

function floats(payload: Uint8Array): Float32Array {
  const aligned = payload.byteOffset % 4 === 0 ? payload : Uint8Array.from(payload)
  return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index)
}
