import { z } from 'zod'

/** Exit codes of every command (sysexits where they exist). */
export const exitCode = { ok: 0, failed: 1, usage: 2, temporary: 75, config: 78, interrupted: 130 } as const

export interface ErrorDetails {
  readonly cause?: unknown
  /** True where trying again, or going on without the part, may work. */
  readonly recoverable?: boolean
  /** What the process exits with when nobody handles the error. */
  readonly exit?: number
}

/** An error that is told to a user: what happened, what was expected, what to do. `code` is stable. */
export class RingleaderError extends Error {
  readonly code: string
  readonly recoverable: boolean
  readonly exit: number

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'RingleaderError'
    this.code = code
    this.recoverable = details.recoverable ?? false
    this.exit = details.exit ?? exitCode.failed
  }
}

/** An option or a file that cannot be used; the message says what to write instead. */
export function usage(message: string): RingleaderError {
  return new RingleaderError('usage', message, { exit: exitCode.usage })
}

/** A broken invariant stops the process: going on could write wrong weights. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}`)
}

export function messageOf(error: unknown): string {
  if (error instanceof z.ZodError) return inOneLine(z.prettifyError(error))
  return error instanceof Error ? error.message : String(error)
}

/** "✖ what", "→ at where" of each issue. */
function inOneLine(issues: string): string {
  const lines = issues.replace('✖ ', '').replaceAll('\n✖ ', '; ').split('\n')
  return lines.map((line) => line.trim()).join(' ')
}
