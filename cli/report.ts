import { exitCode, messageOf, RingleaderError } from '../shared/core/errors.ts'

/** Tells an error on stderr, in one line where it was foreseen, and returns the exit code. */
export function report(error: unknown): number {
  if (error instanceof RingleaderError) {
    process.stderr.write(`ringleader: ${error.message}\n`)
    return error.exit
  }
  process.stderr.write(`ringleader: unexpected error: ${error instanceof Error ? error.stack : messageOf(error)}\n`)
  return exitCode.failed
}
