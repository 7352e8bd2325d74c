import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { makeFolder, writeFileAtomic } from '../shared/core/atomic-file.ts'
import { type RunConfig, storedConfigSchema, usage } from '../shared/core/config.ts'
import { exitCode, messageOf, RingleaderError } from '../shared/core/errors.ts'
import type { GridKind } from '../shared/core/grid-kind.ts'
import { lastLine } from '../shared/core/json-lines.ts'
import { limits } from '../shared/core/limits.ts'
import { stepName } from './checkpoint/checkpoint-store.ts'
import { type EvaluationRecord, evaluationRecordSchema } from './evaluation-record.ts'
import { TraceFile } from './trace/trace-file.ts'

/** What config.json holds: the run's configuration and where its data came from. */
const runFileSchema = z.object({
  formatVersion: z.literal(1),
  runId: z.string().min(1),
  dataDir: z.string().nullable(),
  /** Of the training images. */
  images: z.object({ count: z.number(), height: z.number(), width: z.number(), channels: z.number() }),
  config: storedConfigSchema,
})
export type RunFile = z.infer<typeof runFileSchema>

export interface WorldSize {
  readonly generation: number
  readonly step: number
  readonly worldSize: number
  readonly reason: string
}

export const incidentSchema = z.object({
  kind: z.string(),
  workerId: z.string(),
  step: z.number(),
  detectMs: z.number().nullable(),
  reformMs: z.number().nullable(),
  firstCommitMs: z.number().nullable(),
})
export type Incident = Readonly<z.infer<typeof incidentSchema>>

const historySchema = z.union([
  evaluationRecordSchema.extend({ kind: z.literal('evaluation') }),
  z.object({
    kind: z.literal('generation'),
    generation: z.number(),
    step: z.number(),
    worldSize: z.number(),
    reason: z.string(),
  }),
  z.object({
    kind: z.literal('incident'),
    incident: incidentSchema,
  }),
])

/** Step of the last line; infinite where that is not whole. */
function lastStepIn(path: string): number {
  const { line, torn } = lastLine(path)
  return !torn && line ? (JSON.parse(line) as { step: number }).step : Number.POSITIVE_INFINITY
}

/** Folders of the grids of images. */
const gridFolders: Readonly<Record<GridKind, string>> = { samples: 'samples', interpolation: 'interpolations' }

/** The files of one run. Only this class writes them, except for checkpoints. */
export class RunFolder {
  readonly path: string
  readonly checkpoints: string
  readonly journal: string

  #onTrouble: (reason: string | null) => void = () => {}
  #troubled = false
  readonly #about: Omit<RunFile, 'config'>
  /** Lines that found no room, by file. */
  readonly #unwritten = new Map<string, string>()
  readonly #trace: TraceFile
  #traceIsFull = false
  readonly #onMetrics: ((line: object) => void)[] = []
  readonly #onPicture: ((kind: GridKind, step: number, png: Uint8Array) => void)[] = []
  readonly #onEvent: ((kind: string, fields: object) => void)[] = []

  private constructor(path: string, about: Omit<RunFile, 'config'>) {
    this.path = path
    this.#about = about
    this.checkpoints = join(path, 'checkpoints')
    this.journal = join(path, 'journal')
    this.#trace = new TraceFile(join(path, 'trace.json'))
  }

  static create(path: string, { config, ...about }: RunFile): RunFolder {
    if (existsSync(join(path, 'config.json')))
      throw usage(`${path} holds a run already; write --resume ${path} to go on with it, or another --run-dir`)
    const folder = new RunFolder(path, about)
    try {
      for (const name of Object.values(gridFolders)) makeFolder(join(path, name))
      makeFolder(folder.checkpoints)
      folder.configure(config)
    } catch (error) {
      throw new RingleaderError('run-folder', `cannot write to ${path}: ${messageOf(error)}; write another --run-dir`, {
        cause: error,
        exit: exitCode.config,
      })
    }
    return folder
  }

  static open(path: string): { folder: RunFolder; file: RunFile } {
    const config = join(path, 'config.json')
    if (!existsSync(config))
      throw usage(`--resume ${path}: there is no config.json; write the folder of a run, such as runs/RUN_ID`)
    try {
      const { formatVersion, runId, dataDir, images, ...rest } = JSON.parse(readFileSync(config, 'utf8')) as Record<
        string,
        unknown
      >
      const file = runFileSchema.parse({ formatVersion, runId, dataDir, images, config: rest })
      const { config: _, ...about } = file
      return { folder: new RunFolder(path, about), file }
    } catch (error) {
      throw new RingleaderError('run-corrupt', `${config}: ${messageOf(error).split('\n')[0]}`, {
        cause: error,
        exit: exitCode.config,
      })
    }
  }

  /** Where the data set's files are; null: in their package. */
  get dataDir(): string | null {
    return this.#about.dataDir
  }

  configure(config: RunConfig): void {
    const file = { ...this.#about, ...config }
    writeFileAtomic(join(this.path, 'config.json'), `${JSON.stringify(file, null, 2)}\n`)
  }

  /** Told of lines and pictures that could not be written, and with null of the end of that; the run does not depend on them. */
  onTrouble(handler: (reason: string | null) => void): void {
    this.#onTrouble = handler
  }

  event(kind: string, fields: object): void {
    this.#append('events.jsonl', { time: new Date().toISOString(), kind, ...fields })
    for (const handler of this.#onEvent) handler(kind, fields)
  }

  /** Told of every event that is written. */
  onEvent(handler: (kind: string, fields: object) => void): void {
    this.#onEvent.push(handler)
  }

  /** Adds events in Chrome's format to trace.json. What finds no room on the disk is lost: it is for looking at alone. */
  trace(events: readonly string[]): void {
    if (this.#traceIsFull) return
    this.#try(() => {
      this.#traceIsFull = !this.#trace.append(events)
    })
    if (this.#traceIsFull) this.event('trace-full', { bytes: limits.traceBytes })
  }

  metrics(line: object): void {
    this.#append('metrics.jsonl', line)
    for (const handler of this.#onMetrics) handler(line)
  }

  /** Told of every line of metrics. */
  onMetrics(handler: (line: object) => void): void {
    this.#onMetrics.push(handler)
  }

  picture(kind: GridKind, step: number, png: Uint8Array): void {
    const path = join(this.path, gridFolders[kind])
    this.#try(() => {
      makeFolder(path) // a run that was begun before there were interpolations
      writeFileAtomic(join(path, `${stepName(step)}.png`), png)
    })
    for (const handler of this.#onPicture) handler(kind, step, png)
  }

  /** Told of every grid of images. */
  onPicture(handler: (kind: GridKind, step: number, png: Uint8Array) => void): void {
    this.#onPicture.push(handler)
  }

  summary(summary: object): void {
    const path = join(this.path, 'summary.json')
    try {
      writeFileAtomic(path, `${JSON.stringify(summary, null, 2)}\n`)
    } catch (error) {
      throw new RingleaderError('run-folder', `cannot write ${path}: ${messageOf(error)}; make room`, { cause: error })
    }
  }

  /** Groups, incidents and evaluations of earlier sittings of this run. */
  history(): { worldSizes: WorldSize[]; incidents: Incident[]; evaluations: EvaluationRecord[] } {
    const evaluations: EvaluationRecord[] = []
    const worldSizes: WorldSize[] = []
    const incidents: Incident[] = []
    for (const line of this.#lines('events.jsonl')) {
      const event = historySchema.safeParse(line)
      if (!event.success) continue
      if (event.data.kind === 'incident') incidents.push(event.data.incident)
      else if (event.data.kind === 'evaluation') evaluations.push(evaluationRecordSchema.parse(event.data))
      else {
        const { generation, step, worldSize, reason } = event.data
        worldSizes.push({ generation, step, worldSize, reason })
      }
    }
    return { worldSizes, incidents, evaluations }
  }

  /** Steps after a checkpoint are computed again, so their lines go. */
  truncateMetrics(step: number): void {
    const path = join(this.path, 'metrics.jsonl')
    if (!existsSync(path) || lastStepIn(path) <= step) return
    const kept = this.#lines('metrics.jsonl').filter(
      (line) => ((line as { step?: number } | null)?.step ?? Number.POSITIVE_INFINITY) <= step,
    )
    writeFileSync(`${path}.tmp`, kept.map((line) => `${JSON.stringify(line)}\n`).join(''))
    renameSync(`${path}.tmp`, path)
  }

  /** Lines that parse; the last one may be cut off by a crash. */
  #lines(name: string): unknown[] {
    const path = join(this.path, name)
    if (!existsSync(path)) return []
    return readFileSync(path, 'utf8')
      .split('\n')
      .flatMap((line) => {
        try {
          return line === '' ? [] : [JSON.parse(line) as unknown]
        } catch {
          return []
        }
      })
  }

  #try(write: () => void): void {
    try {
      write()
      if (this.#troubled) this.#onTrouble(null)
      this.#troubled = false
    } catch (error) {
      this.#troubled = true
      this.#onTrouble(messageOf(error))
    }
  }

  /** What cannot be written now is kept, and written once there is room. */
  #append(name: string, line: object): void {
    const kept = `${this.#unwritten.get(name) ?? ''}${JSON.stringify(line)}\n`
    this.#unwritten.set(name, kept)
    this.#try(() => {
      appendFileSync(join(this.path, name), kept)
      this.#unwritten.delete(name)
    })
    if (kept.length > limits.unwrittenCharacters) this.#unwritten.delete(name)
  }
}
