export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

/** What a part of the system says about itself, for people. `fields`: what a program may want to search for. */
export type Log = Readonly<Record<LogLevel, (message: string, fields?: Readonly<Record<string, unknown>>) => void>>

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Where and when a line was said. */
export interface LogContext {
  /** Null: not known yet. */
  readonly run: string | null
  /** Worker id; `coordinator` for that. */
  readonly worker: string
  readonly generation: number
  readonly step: number
}
