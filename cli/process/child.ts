import { exitCode } from '../../shared/core/errors.ts'
import { report } from '../report.ts'

/** A child process of `train`: signals are the parent's to handle, and without a parent there is nothing to do. */
export function runChild<Message>(
  run: (first: Message, onMessage: (handler: (message: Message) => void) => void) => Promise<number>,
): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
  process.on('disconnect', () => process.exit(exitCode.failed))
  let handler: (message: Message) => void = () => {}
  process.once('message', (first) => {
    process.on('message', (message) => handler(message as Message))
    run(first as Message, (next) => {
      handler = next
    }).then(leave, (error: unknown) => leave(report(error)))
  })
}

/** Ends by itself once nothing is open, so that what was written is flushed. */
function leave(code: number): void {
  process.exitCode = code
  process.removeAllListeners('disconnect')
  if (process.connected) process.disconnect()
}
