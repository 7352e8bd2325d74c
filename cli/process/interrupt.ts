import { exitCode } from '../../shared/core/errors.ts'

/** What to do at once when this process is told to go, which it then does; the function takes that back. */
export function onInterrupt(clear: () => void): () => void {
  const handle = () => {
    clear()
    process.exit(exitCode.interrupted)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, handle)
  return () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, handle)
  }
}
