/** What a record tells of; the place in this list is its number. `async`: several at once. */
export const traceKinds = [
  { name: 'step', form: 'span' },
  { name: 'prepare', form: 'span' },
  { name: 'input', form: 'span' },
  { name: 'forward', form: 'span' },
  { name: 'backward', form: 'span' },
  { name: 'all-reduce wait', form: 'span' },
  { name: 'optimizer', form: 'span' },
  { name: 'bucket leaves', form: 'instant' },
  { name: 'wait for start', form: 'span' },
  { name: 'catch up', form: 'span' },
  { name: 'checkpoint', form: 'span' },
  { name: 'samples', form: 'span' },
  { name: 'garbage collection', form: 'span' },
  { name: 'bucket', form: 'async' },
  { name: 'send', form: 'span' },
  { name: 'receive', form: 'span' },
  { name: 'fetch state', form: 'async' },
  { name: 'inspection', form: 'span' },
  { name: 'pipeline wait', form: 'span' },
] as const satisfies readonly { name: string; form: 'span' | 'instant' | 'async' }[]

export type TraceName = (typeof traceKinds)[number]['name']

const numbers = new Map<TraceName, number>(traceKinds.map(({ name }, number) => [name, number]))
export const traceKind = (name: TraceName): number => numbers.get(name) ?? 0

/**
 * A record is 8 float64, little-endian: kind, start and end (milliseconds of the worker's clock), generation, step (from 0),
 * index (a phase, or a bucket as data frames number it), peer (a rank), bytes. −1 where there is none.
 */
export const traceRecordFloats = 8

export interface TraceRecord {
  readonly kind: (typeof traceKinds)[number]
  readonly start: number
  readonly end: number
  readonly generation: number
  readonly step: number
  readonly index: number
  readonly peer: number
  readonly bytes: number
}

/** Null where the bytes are no records. */
export function decodeTraceRecords(bytes: Uint8Array): TraceRecord[] | null {
  const size = traceRecordFloats * 8
  if (bytes.byteLength % size !== 0) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const records: TraceRecord[] = []
  for (let place = 0; place < bytes.byteLength; place += size) {
    const [number = 0, start = 0, end = 0, generation = 0, step = 0, index = 0, peer = 0, count = 0] = Array.from(
      { length: traceRecordFloats },
      (_, field) => view.getFloat64(place + field * 8, true),
    )
    const kind = traceKinds[number]
    const times = Number.isFinite(start) && end >= start && end < Number.POSITIVE_INFINITY
    if (!kind || !times || ![generation, step, index, peer, count].every(Number.isSafeInteger)) return null
    records.push({ kind, start, end, generation, step, index, peer, bytes: count })
  }
  return records
}
