import type { CompressedBucket, Compression } from '../compression/compression.ts'
import { assert, messageOf } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { decodeFrameHeader, encodeFrameHeader, type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload, Transport } from '../transport/transport.ts'
import type { Algorithm } from './algorithm.ts'
import { DirectReduction } from './direct.ts'
import { ExchangeReduction } from './exchange.ts'
import { GatherReduction } from './gather.ts'
import { HierarchicalReduction } from './hierarchical.ts'
import type { LaneNode } from './lanes.ts'
import { type BucketView, plane, type Reduction, type Settled } from './reduction.ts'
import { RingReduction } from './ring.ts'
import { SendWindow } from './send-window.ts'
import { hubOf, StarReduction } from './star.ts'
import { type AllReduceMemory, bytesOf, Sums } from './sums.ts'
import { TreeReduction } from './tree.ts'

const reductions = {
  direct: DirectReduction,
  exchange: ExchangeReduction,
  hierarchical: HierarchicalReduction,
  ring: RingReduction,
  star: StarReduction,
  tree: TreeReduction,
} satisfies Record<Algorithm, new (bucket: BucketView) => Reduction>

/** What a rank sends its frames by. */
export type Sender = Pick<Transport, 'send' | 'left' | 'halt'>

export interface AllReduceOptions {
  readonly run: bigint
  readonly generation: number
  readonly rank: number
  readonly worldSize: number
  readonly transport: Sender
  readonly memory: AllReduceMemory
  /** For a bucket of so many bytes; the same on all ranks. */
  algorithm(bytes: number): Algorithm
  /** Number of the host of each rank; left out: each on its own. */
  hosts?(): readonly number[]
  /** Frames come from a hub, too (star.ts). */
  readonly hub?: boolean
  readonly segmentElements?: number
  /** The first of two planes that are used by turns (reduction.ts). */
  readonly turns?: number
  /** Subtrees that each rank offers, by rank; left out: one sum for each rank, added in rank order. */
  readonly lanes?: readonly (readonly LaneNode[])[]
  /** Told of frames of reductions that this rank has begun. */
  arrived?(header: FrameHeader): void
  /** What buckets are sent as; left out, or over a hub: float32. Not with lanes. */
  readonly compression?: Compression | null
}

export interface AllReduceReport {
  /** Payload bytes that this rank sent, whatever wire they took. */
  readonly bytes: number
}

interface Operation {
  readonly key: string
  readonly bucket: BucketView
  readonly reduction: Reduction
  readonly compressed: CompressedBucket | null
  bytes: number
  resolve(report: AllReduceReport): void
  reject(error: Error): void
}

/** All reductions of one rank in one generation: whose frame is whose, what came early, and the end of all by an abort. */
export class AllReduceGroup {
  /** Frames of another run or generation, and frames that are none: dropped and counted. */
  staleFrames = 0
  malformedFrames = 0
  /** Reductions that this rank has begun, and those that are done: who waits for whom. */
  entered = 0
  reduced = 0
  earlyBytes = 0
  readonly #options: AllReduceOptions
  readonly #sums: Sums
  readonly #compression: Compression | null
  readonly #window = new SendWindow(limits.hubWindowBytes)
  readonly #operations = new Map<string, Operation>()
  readonly #early = new Map<string, [FrameHeader, Payload][]>()
  /** By where a bucket lies. */
  readonly #turns = new Map<number, number>()
  #aborted: Error | null = null

  constructor(options: AllReduceOptions) {
    this.#options = options
    const { lanes, worldSize, memory } = options
    this.#compression = options.hub === true ? null : (options.compression ?? null)
    this.#sums = new Sums(memory, worldSize, lanes ?? null)
  }

  /**
   * Adds a bucket over all ranks, into the first of this rank's partial sums. Rejects, on every rank, once aborted. The first
   * `exact` elements are not compressed. `settled` is told of elements that are final, where the algorithm knows (reduction.ts).
   */
  allReduce(
    step: number,
    bucket: number,
    offsets: readonly number[],
    count: number,
    exact = 0,
    settled: Settled = () => {},
  ): Promise<AllReduceReport> {
    if (this.#aborted) return Promise.reject(this.#aborted)
    const { rank, worldSize, lanes, algorithm } = this.#options
    const compression = this.#compression
    this.entered++
    const first = (offsets[0] ?? 0) * 4
    if (worldSize === 1 || !compression) this.#options.compression?.flush(first, count, exact) // nothing is lost
    if (worldSize === 1 || count === 0) return Promise.resolve({ bytes: 0 })
    assert(offsets.length === (lanes?.[rank]?.length ?? 1), 'a rank offers the partial sums that its lanes make')
    const key = `${step}/${bucket}`
    assert(!this.#operations.has(key), `bucket ${bucket} of step ${step} is reduced twice`)
    return new Promise((resolve, reject) => {
      const send: BucketView['send'] = (...frame) => this.#send(operation, step, bucket, offsets, ...frame)
      const bytes = compression?.encodedBytes(count) ?? count * 4
      const compressed = compression?.open(first, count, exact) ?? null
      const view = this.#view(offsets, count, send, settled)
      const reduction = new reductions[algorithm(bytes)](view)
      const operation: Operation = { key, bucket: view, reduction, compressed, bytes: 0, resolve, reject }
      this.#begin(operation)
    })
  }

  /**
   * Brings the parts of all ranks together, of so many elements each, in rank order; this rank's is in its place. Not compressed. Rejects
   * as `allReduce` does.
   */
  allGather(step: number, bucket: number, offset: number, counts: readonly number[]): Promise<AllReduceReport> {
    if (this.#aborted) return Promise.reject(this.#aborted)
    this.entered++
    const key = `${step}/${bucket}`
    assert(!this.#operations.has(key), `bucket ${bucket} of step ${step} is gathered twice`)
    return new Promise((resolve, reject) => {
      const send: BucketView['send'] = (...frame) => this.#send(operation, step, bucket, [offset], ...frame)
      const count = counts.reduce((sum, part) => sum + part, 0)
      const view = this.#view([offset], count, send, () => {})
      const reduction = new GatherReduction(view, counts)
      const operation: Operation = { key, bucket: view, reduction, compressed: null, bytes: 0, resolve, reject }
      this.#begin(operation)
    })
  }

  #begin(operation: Operation): void {
    this.#operations.set(operation.key, operation)
    this.#work(() => {
      operation.reduction.begin()
      this.#takeEarly(operation)
      this.#finish(operation)
    })
  }

  receive(headerBytes: Uint8Array, payload: Payload): void {
    const header = decodeFrameHeader(headerBytes)
    if (!header || (!this.#compression && payload.byteLength !== header.count * 4)) {
      this.malformedFrames++
      return
    }
    const { run, generation, worldSize, rank } = this.#options
    if (header.run !== run || header.generation !== generation) {
      this.staleFrames++
      return
    }
    if (this.#aborted) return
    const collective = header.kind === frameKind.contribution || header.kind === frameKind.reduced
    const known = header.sender < worldSize || (this.#options.hub === true && header.sender === hubOf(worldSize))
    if (!known || header.sender === rank || !collective) {
      this.malformedFrames++
      return
    }
    const key = `${header.step}/${header.bucket}`
    const operation = this.#operations.get(key)
    if (!operation) return this.#keep(key, header, payload)
    this.#options.arrived?.(header)
    this.#work(() => {
      this.#accept(operation, header, payload)
      this.#finish(operation)
    })
  }

  /** Where the payload of this frame belongs, if it may be read there at once (reduction.ts). */
  placeOf(headerBytes: Uint8Array): Uint8Array | null {
    const header = decodeFrameHeader(headerBytes)
    const { run, generation, worldSize, rank } = this.#options
    const isOfThis = header?.run === run && header.generation === generation
    if (!isOfThis || this.#aborted || this.#compression || header.sender >= worldSize || header.sender === rank)
      return null
    const operation = this.#operations.get(`${header.step}/${header.bucket}`)
    const range = operation?.reduction.place?.(header)
    return range && operation ? bytesOf(operation.bucket.values(range)) : null
  }

  /** Fails every open operation, and every later one. */
  abort(reason: Error): void {
    if (this.#aborted) return
    this.#aborted = reason
    this.#options.transport.halt?.()
    const open = [...this.#operations.values()]
    this.#operations.clear()
    this.#early.clear()
    for (const operation of open) operation.reject(reason)
  }

  #view(offsets: readonly number[], count: number, send: BucketView['send'], told: Settled): BucketView {
    const { rank, worldSize, memory, segmentElements = limits.segmentBytes / 4 } = this.#options
    const values: BucketView['values'] = ({ start, end }, part = 0) =>
      memory.floats((offsets[part] ?? 0) + start, end - start)
    const parts = offsets.length
    const hosts = this.#options.hosts?.() ?? Array.from({ length: worldSize }, (_, host) => host)
    const shared = { sums: this.#sums, window: this.#window, hosts, turnPlane: this.#turnPlane(offsets) }
    const settled: BucketView['settled'] = ({ start, end }) => told(start, end - start)
    return { rank, worldSize, count, segmentElements, parts, ...shared, values, send, settled }
  }

  #turnPlane([first = 0]: readonly number[]): number {
    const turn = this.#turns.get(first) ?? 0
    this.#turns.set(first, 1 - turn)
    return (this.#options.turns ?? plane.turns) + turn
  }

  #send(
    operation: Operation,
    step: number,
    bucket: number,
    offsets: readonly number[],
    to: Parameters<BucketView['send']>[0],
    { kind, range, part = 0, lane, fresh = false }: Parameters<BucketView['send']>[1],
  ): void {
    if (to.length === 0) return
    const { run, generation, rank, transport, memory } = this.#options
    const values = memory.floats((offsets[part] ?? 0) + range.start, range.end - range.start)
    const header = encodeFrameHeader({
      ...{ kind, run, generation, step, bucket, sender: rank },
      ...{ segment: 0, part, offset: range.start, count: values.length },
    })
    const first = fresh || kind === frameKind.contribution
    const encoded = operation.compressed?.encode(values, range, first)
    const payload = encoded ?? bytesOf(values)
    operation.bytes += payload.byteLength * to.length
    const at = lane?.at ?? range.start
    const position = operation.compressed?.positionOf(at) ?? at * 4
    const place = lane ? { plane: lane.plane, offset: (offsets[part] ?? 0) * 4 + position } : null
    // A partial sum lies there until the result comes, which whoever has read it makes (reduction.ts); a result until it has left.
    const lasts = !encoded && (lane?.plane === plane.partial || lane?.plane === plane.result)
    transport.send(to, header, payload, place, lasts)
  }

  /** A frame of a reduction that this rank has not begun. */
  #keep(key: string, header: FrameHeader, payload: Payload): void {
    this.earlyBytes += payload.heldBytes
    if (this.earlyBytes > limits.maxEarlyBytes) {
      this.abort(new Error(`rank ${header.sender} sent more than ${limits.maxEarlyBytes} bytes ahead`))
      return
    }
    const waiting = this.#early.get(key)
    if (waiting) waiting.push([header, payload])
    else this.#early.set(key, [[header, payload]])
  }

  #takeEarly(operation: Operation): void {
    const early = this.#early.get(operation.key) ?? []
    this.#early.delete(operation.key)
    for (const [header, payload] of early) {
      this.earlyBytes -= payload.heldBytes
      if (!this.#aborted) this.#accept(operation, header, payload)
    }
  }

  #accept({ reduction, compressed }: Operation, header: FrameHeader, payload: Payload): void {
    const range = { start: header.offset, end: header.offset + header.count }
    const floats = compressed ? compressed.open(payload, range) : payload
    const verdict = floats ? reduction.accept(header, floats) : 'malformed'
    if (verdict === 'taken') return
    this.malformedFrames++
    if (verdict === 'foreign')
      this.abort(new Error(`rank ${header.sender} cut bucket ${header.bucket} of step ${header.step} otherwise`))
  }

  /** A payload that cannot be read fails the group. */
  #work(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.abort(new Error(messageOf(error), { cause: error }))
    }
  }

  #finish(operation: Operation): void {
    if (!operation.reduction.done || !this.#operations.delete(operation.key)) return
    this.reduced++
    const done = () => operation.resolve({ bytes: operation.bytes })
    const leaving = this.#options.transport.left?.()
    if (leaving) void leaving.then(done)
    else done()
  }
}
