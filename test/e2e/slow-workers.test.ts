import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, vi } from 'vitest'
import { Cli, dieWithParent, hasTool, readLines, root, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { canMakeNamespaces, TwoHosts } from '../support/namespaces.ts'

const slowly = { timeout: 20_000, interval: 50 }
const training = ['--model', 'vae', '--steps', '100000', '--checkpoint-every', '100000', '--inspect-every', '0']

/** What other programs of a machine do to anybody: nobody else is named where nothing is wrong. */
const ofThisMachine = new Set(['other load', 'stopped process', 'compute'])
/** Steps. */
const firstEpoch = 480

interface Run {
  readonly coordinator: Cli
  readonly folder: string
  /** What was told of slow workers, in order. */
  told(): { kind: string; workerId: string; cause: string }[]
}

/** A coordinator that waits for so many workers; they are started with its address. */
async function start(workers: number, bind: string, within: string[], ...options: string[]) {
  const folder = join(temporaryFolder(), 'run')
  const listen = ['--bind', bind, '--http', '127.0.0.1:0', '--min-workers', String(workers), '--run-dir', folder]
  const coordinator = new Cli(['coordinator', ...training, ...listen, ...options], { within })
  const [, address] = await coordinator.printed(/waiting for \d+ workers at (tcp:\S+)/)
  const told: Run['told'] = () =>
    readLines(join(folder, 'events.jsonl')).flatMap((event) =>
      event.kind === 'slow' || event.kind === 'slow-over'
        ? [{ kind: event.kind, workerId: String(event.workerId), cause: String(event.cause) }]
        : [],
    )
  return { coordinator, folder, told, address: String(address) }
}

/** Begins something that makes `c` slow, waits until that is told with its cause, ends it, and waits until that is told too. */
async function injected({ told }: Run, cause: string, begin: () => () => void): Promise<void> {
  const before = told().length
  const named = (kind: string) => () =>
    expect(
      told()
        .slice(before)
        .filter((event) => event.workerId === 'c'),
      cause,
    ).toContainEqual({ kind, workerId: 'c', cause })
  const end = begin()
  try {
    await vi.waitFor(named('slow'), slowly)
  } finally {
    end()
  }
  await vi.waitFor(named('slow-over'), slowly)
}

describe('a slow worker is named with its cause', () => {
  it.skipIf(!hasTool('taskset', '--version') || availableParallelism() < 2)(
    'stopped, other load, garbage collection, data, compute',
    async () => {
      const run = await start(2, 'tcp://127.0.0.1:0', [])
      const file = join(temporaryFolder(), 'slow')
      const worker = (id: string, env: Record<string, string> = {}) =>
        new Cli(['worker', '--coordinator', run.address, '--threads', '1', '--id', id], { env })
      const a = worker('a')
      const preload = join(root, 'test/support/slow-process.cjs')
      const c = worker('c', { NODE_OPTIONS: `--require ${preload}`, SLOW_PROCESS: file })
      await waitForStep(run.coordinator, run.folder, firstEpoch) // its data have to come
      const before = run.told().length
      await waitForStep(run.coordinator, run.folder, firstEpoch + 150)
      expect(
        run
          .told()
          .slice(before)
          .filter(({ cause }) => !ofThisMachine.has(cause)),
      ).toEqual([])
      const pid = c.child.pid ?? 0
      await injected(run, 'stopped process', () => stopped(pid))
      await injected(run, 'other load', () => crowded(pid, a.child.pid ?? 0))
      for (const cause of ['garbage collection', 'data', 'compute'])
        await injected(run, cause, () => {
          writeFileSync(file, cause)
          return () => rmSync(file)
        })
      run.coordinator.kill('SIGINT')
      expect((await run.coordinator.finished).code).toBe(130)
    },
  )

  it.skipIf(!canMakeNamespaces)('network', async () => {
    const hosts = new TwoHosts()
    try {
      const within = hosts.on(hosts.first)
      const run = await start(3, `tcp://${hosts.firstAddress}:0`, within, '--wire', 'tcp')
      const worker = (id: string, place: string, address: string) =>
        new Cli(
          ['worker', '--coordinator', run.address, '--bind', `tcp://${address}:0`, '--threads', '1', '--id', id],
          { within: hosts.on(place) },
        )
      worker('a', hosts.first, hosts.firstAddress)
      worker('b', hosts.first, hosts.firstAddress)
      worker('c', hosts.second, hosts.secondAddress)
      await waitForStep(run.coordinator, run.folder, 100)
      await injected(run, 'network', () => narrowed(hosts))
      const network = run.told().filter(({ cause }) => cause === 'network')
      expect(network.map(({ kind, workerId }) => [kind, workerId])).toEqual([
        ['slow', 'c'],
        ['slow-over', 'c'],
      ])
      run.coordinator.kill('SIGINT')
      expect((await run.coordinator.finished).code).toBe(130)
    } finally {
      hosts.remove()
    }
  })
})

/** A third of a second of every two thirds. */
function stopped(pid: number): () => void {
  let over = false
  void (async () => {
    while (!over) {
      process.kill(pid, 'SIGSTOP')
      await sleep(330)
      process.kill(pid, 'SIGCONT')
      await sleep(330)
    }
  })()
  return () => {
    over = true
  }
}

/** The main thread of one worker on the last core, which others want too, more than whatever else runs here where that is allowed; the other one is kept away. */
function crowded(pid: number, otherPid: number): () => void {
  const cores = /: (\S+)$/m.exec(execFileSync('taskset', ['-p', '-c', String(pid)], { encoding: 'utf8' }))?.[1] ?? '0'
  const place = (list: string, id: number) =>
    execFileSync('taskset', ['-p', '-c', list, String(id)], { stdio: 'ignore' })
  const [first = '0', ...more] = cores.split(/[,-]/)
  const last = more.at(-1) ?? first
  place(last, pid)
  place(first, otherPid)
  const hogs = Array.from({ length: 3 }, (): ChildProcess => {
    const spin = ['nice', '-n', '-10', 'taskset', '-c', last, process.execPath, '-e', 'for(;;);']
    const [command = '', ...args] = [...dieWithParent(), ...spin]
    return spawn(command, args, { stdio: 'ignore' })
  })
  return () => {
    for (const hog of hogs) hog.kill('SIGKILL')
    for (const id of [pid, otherPid]) place(cores, id)
  }
}

/** What leaves the second host passes a token bucket of 100 Mbit/s. */
function narrowed(hosts: TwoHosts): () => void {
  const tc = (verb: string, ...args: string[]) =>
    spawnSync('tc', ['-n', hosts.second, 'qdisc', verb, 'dev', `${hosts.second}v`, 'root', ...args])
  tc('add', 'tbf', 'rate', '100mbit', 'burst', '64kb', 'latency', '400ms')
  const show = spawnSync('tc', ['-n', hosts.second, 'qdisc', 'show'], { encoding: 'utf8' })
  expect(show.stdout).toContain('tbf')
  return () => void tc('del')
}
