import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { logPath } from '../../coordinator/run-log.ts'
import { limits } from '../../shared/core/limits.ts'
import { LogFile } from '../../shared/log/log-file.ts'
import { type LogRecord, parseLogRecord } from '../../shared/log/log-record.ts'
import { openStructuredLog } from '../../shared/log/structured-log.ts'
import { tellLine, type Verbosity } from '../verbosity.ts'

/** Words of others that follow each other so soon belong together. */
const burstMs = 1000

/**
 * What a local worker writes on its stderr: lines of its log go to its file in the run's folder as they are; words of others,
 * such as those of a native library that crashes, become lines of it. The terminal is told what matters.
 */
export class WorkerOutput {
  /** How the last words of others began, without the stack that may follow; null: there were none. */
  lastWords: string | null = null
  readonly #file: LogFile
  readonly #verbosity: Verbosity
  readonly #workerId: string
  readonly #stderr: Readable
  readonly #decoder = new StringDecoder('utf8')
  #last: LogRecord | null = null
  #rest = ''
  #spoke = 0
  readonly #foreign = openStructuredLog({
    level: 'info',
    context: () => {
      const { run = null, generation = 0, step = 0 } = this.#last ?? {}
      return { run, worker: this.#workerId, generation, step }
    },
    write: (line) => this.#file.write(line),
  })

  constructor(stderr: Readable, runFolder: string, workerId: string, verbosity: Verbosity) {
    this.#file = new LogFile(logPath(runFolder, workerId))
    this.#verbosity = verbosity
    this.#workerId = workerId
    this.#stderr = stderr
    stderr.on('data', (bytes: Buffer) => this.#take(this.#decoder.write(bytes)))
    stderr.on('close', () => {
      if (this.#rest !== '') this.#line(this.#rest)
      this.#rest = ''
      this.#file.close()
    })
  }

  /** How its process ended, below all that it has said. */
  ended(reason: string): void {
    const write = () => {
      this.#foreign.error(reason)
      this.#file.close()
    }
    if (this.#stderr.closed) write()
    else this.#stderr.once('close', write)
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#line(line)
    if (this.#rest.length <= limits.logLineCharacters) return
    this.#line(this.#rest) // somebody who never ends a line
    this.#rest = ''
  }

  #line(line: string): void {
    const record = parseLogRecord(line)
    if (!record) return this.#words(line.trimEnd())
    this.#last = record
    this.lastWords = null
    this.#file.write(`${line}\n`)
    const grave = record.level === 'error' || (record.level === 'warn' && this.#verbosity === 'normal')
    if (this.#verbosity === 'verbose' || grave) tellLine(line)
  }

  #words(line: string): void {
    if (line === '') return
    const words = line.slice(0, limits.logLineCharacters)
    const now = performance.now()
    if (this.lastWords === null || now - this.#spoke > burstMs) this.lastWords = words
    this.#spoke = now
    this.#foreign.warn(words, { stream: 'stderr' })
    if (this.#verbosity !== 'quiet') process.stderr.write(`${this.#workerId}: ${words}\n`)
  }
}
