import type { Options } from 'yargs'
import { usage } from '../shared/core/config.ts'
import type { LogLevel } from '../shared/core/log.ts'
import { logText, parseLogRecord } from '../shared/log/log-record.ts'
import { usesColor } from './color.ts'

/** How much a command says. */
export type Verbosity = 'quiet' | 'normal' | 'verbose'

export const verbosityFlags = {
  quiet: { type: 'boolean', describe: 'say nothing but errors', default: false },
  verbose: { type: 'boolean', describe: 'tell the log on stderr, debug lines too', default: false },
} as const satisfies Record<string, Options>

export function verbosity({ quiet, verbose }: Readonly<Record<string, unknown>>): Verbosity {
  if (quiet === true && verbose === true) throw usage('--quiet and --verbose: write one of them')
  return quiet === true ? 'quiet' : verbose === true ? 'verbose' : 'normal'
}

/** Of a log in a file, which has more than a terminal is told. */
export function levelOf(verbosity: Verbosity): LogLevel {
  return verbosity === 'verbose' ? 'debug' : 'info'
}

/** A line of a structured log, for people, on stderr. */
export function tellLine(line: string): void {
  const record = parseLogRecord(line)
  process.stderr.write(record ? `${logText(record, usesColor(process.stderr))}\n` : line)
}
