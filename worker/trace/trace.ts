import { limits } from '../../shared/core/limits.ts'
import { traceRecordFloats } from '../../shared/protocol/trace-record.ts'

/** Where a thread notes what it does. Numbers alone, so that nothing is allocated for it. */
export interface Trace {
  /** False: what is added is forgotten, so that nobody need look at the clock for it. */
  readonly on: boolean
  /** The fields of a record (trace-record.ts), without the generation. */
  add(kind: number, start: number, end: number, step?: number, index?: number, peer?: number, bytes?: number): void
}

export const noTrace: Trace = { on: false, add: () => {} }

const place = { open: 0, generation: 1, rings: 2 } as const
const ringPlace = { written: 0, read: 1, dropped: 2, count: 3 } as const
const headerBytes = 64
const ringBytes = limits.traceRecords * traceRecordFloats * 8

/** The rings of the two threads of a worker, in one shared memory; the compute thread opens and closes both. */
export class SharedTrace {
  readonly memory: SharedArrayBuffer
  readonly compute: TraceRing
  readonly communication: TraceRing
  readonly #header: Int32Array
  readonly #steps: number
  #left = 0

  /** `steps` of each generation are noted. */
  constructor(steps: number, memory = new SharedArrayBuffer(headerBytes + 2 * ringBytes)) {
    this.memory = memory
    this.#header = new Int32Array(memory, 0, headerBytes / 4)
    this.compute = new TraceRing(this.#header, memory, 0)
    this.communication = new TraceRing(this.#header, memory, 1)
    this.#steps = steps
  }

  /** A group begins, and with it the count of the steps. */
  begin(generation: number): void {
    this.#left = this.#steps
    Atomics.store(this.#header, place.generation, generation)
    Atomics.store(this.#header, place.open, this.#left > 0 ? 1 : 0)
  }

  /** Before each step. */
  step(): void {
    if (this.#left-- === 0) Atomics.store(this.#header, place.open, 0)
  }
}

/** One thread writes, the communication thread reads; what finds no room is counted. */
export class TraceRing implements Trace {
  readonly #header: Int32Array
  readonly #records: Float64Array
  readonly #base: number

  constructor(header: Int32Array, memory: SharedArrayBuffer, number: number) {
    this.#header = header
    this.#records = new Float64Array(memory, headerBytes + number * ringBytes, ringBytes / 8)
    this.#base = place.rings + number * ringPlace.count
  }

  get on(): boolean {
    return Atomics.load(this.#header, place.open) === 1
  }

  add(kind: number, start: number, end: number, step = -1, index = -1, peer = -1, bytes = -1): void {
    if (!this.on) return
    const written = Atomics.load(this.#header, this.#base + ringPlace.written)
    if (written - Atomics.load(this.#header, this.#base + ringPlace.read) >= limits.traceRecords) {
      Atomics.add(this.#header, this.#base + ringPlace.dropped, 1)
      return
    }
    const at = (written % limits.traceRecords) * traceRecordFloats
    const records = this.#records
    records[at] = kind
    records[at + 1] = start
    records[at + 2] = end
    records[at + 3] = Atomics.load(this.#header, place.generation)
    records[at + 4] = step
    records[at + 5] = index
    records[at + 6] = peer
    records[at + 7] = bytes
    Atomics.store(this.#header, this.#base + ringPlace.written, written + 1) // the record is whole
  }

  /** The oldest records, `most` of them at most, and how many found no room since the last call; null: nothing to tell. */
  take(most: number): { records: Float64Array; dropped: number } | null {
    const read = Atomics.load(this.#header, this.#base + ringPlace.read)
    const first = read % limits.traceRecords
    const there = Atomics.load(this.#header, this.#base + ringPlace.written) - read
    const count = Math.min(there, most, limits.traceRecords - first)
    const dropped = Atomics.exchange(this.#header, this.#base + ringPlace.dropped, 0)
    if (count === 0 && dropped === 0) return null
    const records = this.#records.slice(first * traceRecordFloats, (first + count) * traceRecordFloats)
    Atomics.store(this.#header, this.#base + ringPlace.read, read + count)
    return { records, dropped }
  }
}
