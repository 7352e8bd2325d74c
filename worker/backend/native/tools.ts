import { spawn } from 'node:child_process'
import { messageOf, RingleaderError } from '../../../shared/core/errors.ts'

/** The first of these programs that runs; null where none does. */
export async function findTool(candidates: readonly string[], probe: readonly string[]): Promise<string | null> {
  for (const name of candidates) {
    try {
      await run(name, probe)
      return name
    } catch (error) {
      if (!(error instanceof RingleaderError)) throw error // not there, or it does not work: try the next
    }
  }
  return null
}

/** Runs a tool to its end; the error holds the last of what it said. It ends with this process. */
export function run(command: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let said = ''
    const listen = (bytes: Buffer) => {
      said = (said + bytes.toString('utf8')).slice(-4000)
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    const stop = () => child.kill('SIGTERM')
    process.once('exit', stop)
    child.once('error', (error) => reject(unavailable(`${command} does not run: ${messageOf(error)}`)))
    child.once('close', (code, signal) => {
      process.removeListener('exit', stop)
      if (code === 0) return resolve()
      const lines = said.trim().split('\n')
      const errors = lines.filter((line) => /\berror\b/i.test(line))
      const last = (errors.length > 0 ? errors : lines).slice(-3).join(' | ')
      reject(unavailable(`${command} ${args[1] === 'pip' ? 'pip ' : ''}ended with ${signal ?? code}: ${last}`))
    })
  })
}

export function unavailable(what: string): RingleaderError {
  return new RingleaderError('native-unavailable', what, { recoverable: true })
}
