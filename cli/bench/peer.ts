import { spawn } from 'node:child_process'
import { z } from 'zod'
import { RingleaderError } from '../../shared/core/errors.ts'
import { onInterrupt } from '../process/interrupt.ts'

/** What another program prints: a JSON object a line. What it does not say is not compared. */
const peerLineSchema = z.looseObject({
  peer: z.string().optional(),
  worldSize: z.number().optional(),
  bytes: z.number().optional(),
  medianMs: z.number().positive().optional(),
  busbwGBps: z.number().optional(),
  model: z.string().optional(),
  math: z.string().optional(),
  globalBatch: z.number().optional(),
  imagesPerSecond: z.number().positive().optional(),
  iterationMs: z.number().optional(),
})
export type PeerLine = z.infer<typeof peerLineSchema>

const keptCharacters = 1 << 20

/**
 * Runs the peer's command, bounded in time, and returns the JSON lines of its output. It ends with this process. One that
 * breaks down after it has told figures (torch does, now and then, when its ranks part) is run once more, and that is told.
 */
export async function runPeer(command: string, timeoutMs: number, tell: (line: string) => void): Promise<PeerLine[]> {
  try {
    return await figuresOf(command, timeoutMs)
  } catch (error) {
    if (!(error instanceof RingleaderError && error.recoverable)) throw error
    tell(`${error.message}; it had told figures, so it is run once more`)
    return figuresOf(command, timeoutMs)
  }
}

async function figuresOf(command: string, timeoutMs: number): Promise<PeerLine[]> {
  const { code, signal, stdout, stderr, late } = await run(command, timeoutMs)
  const said = stderr.trim().split('\n').at(-1) ?? ''
  const lines = stdout.split('\n').flatMap<PeerLine>((line) => parsed(line) ?? [])
  if (late) throw failed(`did not end within ${timeoutMs / 1000} s and was stopped; write a larger --peer-timeout`)
  if (code !== 0)
    throw failed(`ended with ${signal ?? `exit code ${code}`}${said === '' ? '' : `: ${said}`}`, lines.length > 0)
  if (lines.length > 0) return lines
  throw failed('printed no JSON line; write a command that prints an object such as {"bytes":4096,"medianMs":0.2}')
}

function parsed(line: string): PeerLine | null {
  if (!line.startsWith('{')) return null
  try {
    return peerLineSchema.safeParse(JSON.parse(line)).data ?? null
  } catch {
    return null
  }
}

function failed(what: string, recoverable = false): RingleaderError {
  return new RingleaderError('peer', `the peer ${what}`, { recoverable })
}

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly late: boolean
}

/** In a process group of its own, so that its children are ended with it. */
function run(command: string, timeoutMs: number): Promise<Ended> {
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].on('data', (bytes: Buffer) => {
      said[stream] = (said[stream] + bytes.toString('utf8')).slice(-keptCharacters)
    })
  let late = false
  const end = () => endGroup(child.pid)
  const timer = setTimeout(() => {
    late = true
    end()
  }, timeoutMs)
  const takeBack = onInterrupt(end)
  return new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, ...said, late }))
  }).finally(() => {
    clearTimeout(timer)
    end() // what it has left behind
    takeBack()
  })
}

function endGroup(processId: number | undefined): void {
  if (processId === undefined) return
  try {
    process.kill(-processId, 'SIGKILL')
  } catch {
    // nobody is left
  }
}
