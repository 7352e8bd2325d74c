import { pino } from 'pino'
import type { Log, LogContext, LogLevel } from '../core/log.ts'

export interface StructuredLogOptions {
  /** Lines below it are not written. */
  readonly level: LogLevel
  /** Asked for each line. */
  context(): LogContext
  /** Takes a line of JSON with its line break. */
  write(line: string): void
}

/** A log of one JSON object a line: `level`, `time` (ISO 8601), the context, what the caller adds, `msg`; of an error, its stack in `err`. */
export function openStructuredLog({ level, context, write }: StructuredLogOptions): Log {
  const logger = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      mixin: context,
    },
    { write },
  )
  return {
    debug: (message, fields = {}) => logger.debug(fields, message),
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
  }
}
