import { z } from 'zod'
import { type LogLevel, logLevels } from '../core/log.ts'

const logRecordSchema = z.looseObject({
  level: z.enum(logLevels),
  time: z.string(),
  run: z.string().nullable(),
  worker: z.string(),
  generation: z.number(),
  step: z.number(),
  msg: z.string(),
})
/** A line of a structured log. */
export type LogRecord = Readonly<z.infer<typeof logRecordSchema>>

/** Null where the line is none: somebody's own words. */
export function parseLogRecord(line: string): LogRecord | null {
  if (!line.startsWith('{"level":"')) return null
  try {
    return logRecordSchema.safeParse(JSON.parse(line)).data ?? null
  } catch {
    return null
  }
}

/** Select Graphic Rendition, ECMA-48 8.3.117. */
const codes: Readonly<Record<LogLevel, string>> = { debug: '2', info: '0', warn: '33', error: '31' }

/** `12:00:03 warn worker-0 3/120: message key=value`: the time in UTC, behind the worker its generation and step. */
export function logText(record: LogRecord, color: boolean): string {
  const { level, time, run: _, worker, generation, step, msg, err, ...fields } = record
  const told = Object.entries(fields).map(([key, value]) => ` ${key}=${plain(value)}`)
  const stack = typeof err === 'object' && err !== null && 'stack' in err ? `\n${String(err.stack)}` : ''
  const word = color ? `\x1b[${codes[level]}m${level}\x1b[0m` : level
  const at = generation > 0 || step > 0 ? ` ${generation}/${step}` : ''
  return `${time.slice(11, 19)} ${word} ${worker}${at}: ${msg}${told.join('')}${stack}`
}

function plain(value: unknown): string {
  return typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)
}
