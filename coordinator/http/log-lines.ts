import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { limits } from '../../shared/core/limits.ts'
import { type LogLevel, logLevels } from '../../shared/core/log.ts'
import { LineTail } from './line-tail.ts'

/** A line of a log of the run, as the page shows it. */
export interface ShownLine {
  readonly id: number
  readonly time: string
  readonly level: LogLevel
  /** `coordinator`, or a worker's id. */
  readonly worker: string
  readonly text: string
}

const maxTextCharacters = 500

/** The newest lines of all logs in a run's folder, and the newest of those that matter, so many of each at most. */
export class LogLines {
  readonly #folder: string
  readonly #tails = new Map<string, LineTail>()
  readonly #grave: ShownLine[] = []
  readonly #others: ShownLine[] = []
  #last = 0

  constructor(runFolder: string) {
    this.#folder = join(runFolder, 'logs')
  }

  get last(): number {
    return this.#last
  }

  /** Reads what is new in each file: of one that was there before anybody looked, its end. */
  async read(): Promise<void> {
    const fresh: Omit<ShownLine, 'id'>[] = []
    const names = (await readdir(this.#folder).catch(() => [])).filter((name) =>
      /^[\w.-]+(?<!\.old)\.jsonl$/.test(name),
    )
    for (const name of names.slice(0, limits.pageLogs)) {
      const tail = this.#tails.get(name) ?? new LineTail(join(this.#folder, name), limits.pageLogBytes)
      this.#tails.set(name, tail)
      await tail.read(
        (line) => fresh.push(...shown(line)),
        () => {},
      )
    }
    for (const line of fresh.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0))) {
      const list = line.level === 'warn' || line.level === 'error' ? this.#grave : this.#others
      list.push({ id: ++this.#last, ...line })
      if (list.length > limits.pageLogLines) list.shift()
    }
  }

  /** In their order. */
  since(id: number): ShownLine[] {
    return [...this.#grave, ...this.#others].filter((line) => line.id > id).sort((a, b) => a.id - b.id)
  }
}

/** None where it is somebody's own words. */
function shown(line: Readonly<Record<string, unknown>>): Omit<ShownLine, 'id'>[] {
  const { level, time, run: _, worker, generation, step, msg, err, topology: _links, ...fields } = line
  const known = logLevels.find((each) => each === level)
  if (!known || typeof time !== 'string' || typeof msg !== 'string') return []
  const at = Number(generation) > 0 ? [`generation ${generation}, step ${step}`] : []
  const message = typeof err === 'object' && err !== null && 'message' in err ? [String(err.message)] : []
  const told = Object.entries(fields).map(([key, value]) => `${key} ${plain(value)}`)
  const text = [msg, ...message, ...told, ...at].join(' · ').slice(0, maxTextCharacters)
  return [{ time, level: known, worker: String(worker).slice(0, 64), text }]
}

/** A digest by its beginning, a number by five digits. */
function plain(value: unknown): string {
  if (typeof value === 'number') return String(Number(value.toPrecision(Number.isInteger(value) ? 15 : 5)))
  if (typeof value === 'string') return /^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}…` : value
  return JSON.stringify(value) ?? ''
}
