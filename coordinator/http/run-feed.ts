import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../shared/core/limits.ts'
import { Buckets, type SeriesCursor, type SeriesUpdate } from './buckets.ts'
import { EventLog, type LoggedEvent } from './event-log.ts'
import { LineTail } from './line-tail.ts'
import { LogLines, type ShownLine } from './log-lines.ts'

/** A run that the page shows. */
export interface ShownRun {
  readonly name: string
  /** Its folder. */
  readonly path: string
  /** How it stands, as /api/status tells it. */
  status(): unknown
}

/** What a reader has seen already. */
export interface FeedCursor {
  readonly series: SeriesCursor
  readonly event: number
  readonly line: number
  readonly samples: string
  readonly status: string
}

/** What is new since then; the page's own copy of the run follows from these alone. */
export interface FeedUpdate {
  readonly status?: unknown
  readonly series?: SeriesUpdate
  readonly events?: readonly LoggedEvent[]
  readonly lines?: readonly ShownLine[]
  /** Steps that have a sample grid; all of them. */
  readonly samples?: readonly number[]
}

/** A run as its files tell it, read as they grow; so a finished run is shown as a running one is. */
export class RunFeed {
  readonly run: ShownRun
  readonly #metrics: LineTail
  readonly #events: LineTail
  readonly #buckets = new Buckets(limits.pageBuckets)
  readonly #log = new EventLog(limits.pageEvents)
  readonly #lines: LogLines
  #samples: number[] = []
  #status = 'null'
  #reading: Promise<void> | null = null

  constructor(run: ShownRun) {
    this.run = run
    this.#metrics = new LineTail(join(run.path, 'metrics.jsonl'))
    this.#events = new LineTail(join(run.path, 'events.jsonl'))
    this.#lines = new LogLines(run.path)
  }

  /** Reads what is new in the files; calls at the same time share one reading. */
  refresh(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = null
    })
    return this.#reading
  }

  since(cursor: FeedCursor | null): { update: FeedUpdate | null; cursor: FeedCursor } {
    const now: FeedCursor = {
      series: this.#buckets.cursor,
      event: this.#log.last,
      line: this.#lines.last,
      samples: this.#samples.join(),
      status: this.#status,
    }
    const series = this.#buckets.since(cursor?.series ?? null)
    const events = this.#log.since(cursor?.event ?? 0)
    const lines = this.#lines.since(cursor?.line ?? 0)
    const update = {
      ...(now.status === cursor?.status ? {} : { status: JSON.parse(now.status) as unknown }),
      ...(series ? { series } : {}),
      ...(events.length > 0 ? { events } : {}),
      ...(lines.length > 0 ? { lines } : {}),
      ...(now.samples === cursor?.samples ? {} : { samples: this.#samples }),
    }
    return { update: Object.keys(update).length > 0 ? update : null, cursor: now }
  }

  async #read(): Promise<void> {
    await this.#metrics.read(
      (line) => typeof line.step === 'number' && this.#buckets.add(line.step, valuesOf(line)),
      () => this.#buckets.clear(),
    )
    await this.#events.read(
      (line) => this.#log.add(line),
      () => {},
    )
    await this.#lines.read()
    const names = await readdir(join(this.run.path, 'samples')).catch(() => [])
    const steps = names.flatMap((name) => /^step-(\d+)\.png$/.exec(name)?.[1] ?? []).map(Number)
    this.#samples = steps.sort((a, b) => a - b).slice(-limits.pageSamples)
    this.#status = JSON.stringify(this.run.status()) ?? 'null'
  }
}

/** Numbers of a line of metrics.jsonl by name: losses and norms, `phase/NAME` in seconds, `imagesPerSecond`. */
export function valuesOf(line: Readonly<Record<string, unknown>>): Record<string, number> {
  const {
    step: _,
    epoch: _epoch,
    images,
    seconds,
    phaseSeconds,
    allReduceSeconds: _wait,
    allReduceBytes,
    ...rest
  } = line
  const values: Record<string, number> = {}
  for (const [name, value] of Object.entries({ ...rest, seconds, allReduceBytes }))
    if (typeof value === 'number') values[name] = value
  if (typeof images === 'number' && typeof seconds === 'number' && seconds > 0)
    values.imagesPerSecond = images / seconds
  for (const [phase, value] of Object.entries(phaseSeconds ?? {}))
    if (typeof value === 'number') values[`phase/${phase}`] = value
  return values
}
