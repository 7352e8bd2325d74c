import { z } from 'zod'

const statusSchema = z.looseObject({
  runId: z.string(),
  model: z.string(),
  dataset: z.string(),
  phase: z.string(),
  step: z.number(),
  totalSteps: z.number(),
  epoch: z.number(),
  generation: z.number().optional(),
  worldSize: z.number().optional(),
  algorithm: z.looseObject({ name: z.string() }).optional(),
  alarms: z.array(z.looseObject({ alarm: z.string(), reason: z.string() })).default([]),
  workers: z
    .array(
      z.looseObject({
        workerId: z.string(),
        rank: z.number().nullable(),
        /** Of a pipeline. */
        stage: z.number().optional(),
        step: z.number(),
        standing: z.string(),
        /** Of the batch. */
        lanes: z.number().optional(),
        computeSeconds: z.number().nullable(),
        slow: z.string().nullable(),
      }),
    )
    .default([]),
})
export type ShownStatus = z.infer<typeof statusSchema>

const eventSchema = z.looseObject({ id: z.number(), time: z.string(), kind: z.string() })
export type ShownEvent = z.infer<typeof eventSchema>

/** What /api/runs/0/events sends. */
const updateSchema = z.looseObject({
  status: statusSchema.nullable().optional(),
  series: z
    .object({
      from: z.number().int().min(0),
      steps: z.array(z.number()),
      columns: z.record(z.string(), z.looseObject({ mean: z.array(z.number().nullable()) })),
    })
    .optional(),
  events: z.array(eventSchema).optional(),
})

/** As many as the server keeps at most. */
const keptEvents = 1000

/** A run as the terminal shows it; it follows from the updates alone. */
export interface RunView {
  readonly connected: boolean
  readonly status: ShownStatus | null
  /** By name: means over the buckets of steps. */
  readonly columns: ReadonlyMap<string, readonly (number | null)[]>
  readonly points: number
  readonly events: readonly ShownEvent[]
}

export const emptyView: RunView = { connected: false, status: null, columns: new Map(), points: 0, events: [] }

/** Errors: what is no update, from a program that is no coordinator of this version. */
export function updated(view: RunView, message: unknown): RunView {
  const { status, series, events } = updateSchema.parse(message)
  const byId = new Map([...view.events, ...(events ?? [])].map((event) => [event.id, event]))
  const columns = new Map(series?.from === 0 ? [] : view.columns)
  if (series)
    for (const [name, { mean }] of Object.entries(series.columns)) {
      const before = view.columns.get(name)?.slice(0, series.from) ?? Array<null>(series.from).fill(null)
      columns.set(name, [...before, ...mean])
    }
  return {
    connected: true,
    status: status ?? view.status,
    columns,
    points: series ? series.from + series.steps.length : view.points,
    events: [...byId.values()].sort((a, b) => a.id - b.id).slice(-keptEvents),
  }
}
