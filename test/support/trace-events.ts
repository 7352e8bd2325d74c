import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

const eventSchema = z.looseObject({
  name: z.string(),
  ph: z.enum(['X', 'i', 'b', 'e', 'M']),
  pid: z.number(),
  tid: z.number().optional(),
  ts: z.number().default(0),
  dur: z.number().default(0),
  id: z.string().optional(),
  cat: z.string().optional(),
  args: z.record(z.string(), z.unknown()).default({}),
})
export type TraceEvent = z.infer<typeof eventSchema>

/** A stretch of time, in microseconds. */
export interface Stretch {
  readonly pid: number
  readonly tid: number
  readonly name: string
  readonly start: number
  readonly end: number
  readonly args: Readonly<Record<string, unknown>>
}

export interface ReadTrace {
  readonly events: readonly TraceEvent[]
  /** Names of the processes by their number. */
  readonly processes: ReadonlyMap<number, string>
  /** Spans, and what begins and ends on its own. */
  stretches(name: RegExp): Stretch[]
}

export function readTrace(folder: string): ReadTrace {
  const events = z.array(eventSchema).parse(JSON.parse(readFileSync(join(folder, 'trace.json'), 'utf8')))
  const stretches: Stretch[] = []
  const begun = new Map<string, TraceEvent>()
  for (const event of events) {
    const { name, ph, pid, tid = 0, ts, dur, args } = event
    const key = `${event.cat}/${event.id}/${name}`
    if (ph === 'X') stretches.push({ pid, tid, name, start: ts, end: ts + dur, args })
    if (ph === 'b') begun.set(key, event)
    const begin = ph === 'e' ? begun.get(key) : undefined
    if (begin) stretches.push({ pid, tid, name, start: begin.ts, end: ts, args: begin.args })
  }
  const named = events.filter(({ name }) => name === 'process_name')
  return {
    events,
    processes: new Map(named.map(({ pid, args }) => [pid, String(args.name)])),
    stretches: (pattern) => stretches.filter(({ name }) => pattern.test(name)),
  }
}
