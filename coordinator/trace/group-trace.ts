import { createHash } from 'node:crypto'
import { z } from 'zod'
import { type Clock, hostStart } from '../../shared/core/clock.ts'
import type { ToCoordinator } from '../../shared/protocol/control.ts'
import { bucketsPerPhase } from '../../shared/protocol/frame.ts'
import { decodeTraceRecords, type TraceRecord } from '../../shared/protocol/trace-record.ts'
import type { PreparedRun } from '../prepare-run.ts'
import { type Incident, incidentSchema } from '../run-folder.ts'
import { ClockOffset } from './clock-offset.ts'
import { incidentParts } from './incident-events.ts'

type Told = Extract<ToCoordinator, { kind: 'trace' }>
type Heartbeat = Extract<ToCoordinator, { kind: 'heartbeat' }>

const threads = { compute: 1, communication: 2 } as const
const coordinator = 1
/** Events of the run that a whole group stands still for, or changes by. */
const global = new Set(['generation', 'lost', 'rewound', 'paused'])

interface Seen {
  readonly pid: number
  readonly clock: ClockOffset
  /** What the trace has of its clock. */
  told: { ms: number; errorMs: number }
}

/** Null where the run wants none. */
export function openTrace({ config, folder }: PreparedRun, clock: Clock): GroupTrace | null {
  if (config.traceSteps === 0) return null
  const trace = new GroupTrace(clock, (events) => folder.trace(events))
  folder.onEvent((kind, fields) => trace.event(kind, fields))
  return trace
}

/** Makes of what all workers note, and of the events of the run, one Chrome trace on the coordinator's clock. */
export class GroupTrace {
  readonly #clock: Clock
  readonly #write: (events: readonly string[]) => void
  readonly #seen = new Map<string, Seen>()
  #began = false

  /** `write`: adds events to the file. */
  constructor(clock: Clock, write: (events: readonly string[]) => void) {
    this.#clock = clock
    this.#write = write
  }

  heartbeat(workerId: string, { clock }: Heartbeat): void {
    if (clock === null) return
    const { pulse, received, sent } = clock
    this.#worker(workerId).clock.add({ sent: pulse, received, answered: sent, back: this.#clock.now() })
  }

  /** False where the bytes are no records. */
  records(workerId: string, { thread, dropped }: Told, bytes: Uint8Array | null): boolean {
    const records = bytes && decodeTraceRecords(bytes)
    if (!records) return false
    const { pid, clock } = this.#worker(workerId)
    const lines = this.#clockLines(workerId)
    for (const record of records) lines.push(...linesOf(record, pid, threads[thread], clock.ms))
    if (dropped > 0) {
      const [at, args] = [microseconds(this.#clock.now()), { dropped }]
      lines.push(event({ name: 'events that found no room', ph: 'i', s: 't', pid, tid: threads[thread], ts: at, args }))
    }
    this.#write(lines)
    return true
  }

  /** What goes to events.jsonl too. */
  event(kind: string, fields: object): void {
    const now = this.#clock.now()
    const lines = this.#began ? [] : named(coordinator, 'coordinator', { 1: 'events' })
    this.#began = true
    const place = { pid: coordinator, tid: 1, ts: microseconds(now) }
    lines.push(event({ name: kind, ph: 'i', s: global.has(kind) ? 'g' : 'p', ...place, args: fields }))
    const over = z.object({ incident: incidentSchema }).safeParse(fields)
    if (over.success) lines.push(...this.#incident(over.data.incident, now))
    this.#write(lines)
  }

  #incident(incident: Incident, now: number): string[] {
    const place = {
      cat: 'incident',
      id: `incident.${microseconds(now)}.${incident.workerId}`,
      pid: coordinator,
      tid: 1,
    }
    return incidentParts(incident, now).flatMap(({ name, start, end }, index) => [
      event({ name, ph: 'b', ...place, ts: microseconds(start), args: index === 0 ? incident : {} }),
      event({ name, ph: 'e', ...place, ts: microseconds(end) }),
    ])
  }

  #worker(workerId: string): Seen {
    const known = this.#seen.get(workerId)
    if (known) return known
    // The same number after this coordinator is killed and another comes.
    const pid = createHash('sha256').update(workerId).digest().readUInt32LE(0) >>> 1
    const seen: Seen = { pid, clock: new ClockOffset(), told: { ms: Number.NaN, errorMs: Number.POSITIVE_INFINITY } }
    this.#seen.set(workerId, seen)
    return seen
  }

  /** At first, and when its clock turns out to go otherwise or is known much better. */
  #clockLines(workerId: string): string[] {
    const seen = this.#worker(workerId)
    const { ms, errorMs } = seen.clock
    const isNew = Number.isNaN(seen.told.ms)
    if (seen.told.ms === ms && errorMs > seen.told.errorMs / 2) return []
    seen.told = { ms, errorMs }
    const place = { pid: seen.pid, tid: threads.communication, ts: microseconds(this.#clock.now()) }
    const names = { [threads.compute]: 'compute', [threads.communication]: 'communication' }
    return [
      ...(isNew ? named(seen.pid, workerId, names) : []),
      event({ name: 'clock', ph: 'i', s: 't', ...place, args: { offsetMs: ms, errorMs } }),
    ]
  }
}

/** Milliseconds of this host's clock as microseconds since 1970. */
const microseconds = (ms: number): number => Math.round((ms + hostStart) * 1000)
const event = (fields: object): string => JSON.stringify(fields)

function named(pid: number, process: string, tids: Readonly<Record<number, string>>): string[] {
  return [
    event({ name: 'process_name', ph: 'M', pid, args: { name: process } }),
    ...Object.entries(tids).map(([tid, name]) =>
      event({ name: 'thread_name', ph: 'M', pid, tid: Number(tid), args: { name } }),
    ),
  ]
}

/** Numbers alone, so that they may stand in a line as they are. */
function linesOf(record: TraceRecord, pid: number, tid: number, offsetMs: number): string[] {
  const { kind, generation, step, index, peer, bytes } = record
  const start = microseconds(record.start - offsetMs)
  const end = microseconds(record.end - offsetMs)
  const args = [`"generation":${generation}`]
  if (step >= 0) args.push(`"step":${step + 1}`) // as everywhere else: the step count after the commit
  const isBucket = index >= 0 && bytes >= 0
  if (index >= 0)
    args.push(
      isBucket
        ? `"phase":${Math.floor(index / bucketsPerPhase)},"bucket":${index % bucketsPerPhase}`
        : `"phase":${index}`,
    )
  if (peer >= 0) args.push(`"peer":${peer}`)
  if (bytes >= 0) args.push(`"bytes":${bytes}`)
  const more = `"args":{${args.join()}}`
  const place = `"pid":${pid},"tid":${tid}`
  switch (kind.form) {
    case 'span':
      return [`{"name":"${kind.name}","ph":"X",${place},"ts":${start},"dur":${end - start},${more}}`]
    case 'instant':
      return [`{"name":"${kind.name}","ph":"i","s":"t",${place},"ts":${start},${more}}`]
    case 'async': {
      const number = index < 0 ? '' : ` ${index % bucketsPerPhase}`
      const name = `"name":"${kind.name}${number}","cat":"${kind.name}","id":"${pid}.${generation}.${step}.${index}"`
      return [`{${name},"ph":"b",${place},"ts":${start},${more}}`, `{${name},"ph":"e",${place},"ts":${end}}`]
    }
    default:
      throw kind satisfies never
  }
}
