import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { WorkerOutput } from '../../cli/process/worker-output.ts'
import { verbosity } from '../../cli/verbosity.ts'
import { RunFolder } from '../../coordinator/run-folder.ts'
import { logPath, openRunLog } from '../../coordinator/run-log.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import { LogFile } from '../../shared/log/log-file.ts'
import { logText, parseLogRecord } from '../../shared/log/log-record.ts'
import { openStructuredLog } from '../../shared/log/structured-log.ts'
import { readLines } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const context = () => ({ run: 'r', worker: 'worker-1', generation: 3, step: 120 })

describe('a structured log', () => {
  it('has run, worker, generation and step in each line, and of an error its stack', () => {
    const lines: string[] = []
    const log = openStructuredLog({ level: 'info', context, write: (line) => lines.push(line) })
    log.debug('not written')
    log.info('joins a group', { rank: 1 })
    log.error('fails', { err: new Error('why') })
    const records = lines.map(parseLogRecord)
    expect(records).toMatchObject([
      { level: 'info', ...context(), msg: 'joins a group', rank: 1, time: expect.stringMatching(/^\d{4}-.*Z$/) },
      {
        level: 'error',
        ...context(),
        msg: 'fails',
        err: { message: 'why', stack: expect.stringContaining('log.test') },
      },
    ])
  })

  it('reads as text, in colours where they are wanted', () => {
    const record = {
      level: 'warn' as const,
      time: '2026-01-02T03:04:05.678Z',
      msg: 'halts',
      reason: 'a b',
      ...context(),
    }
    expect(logText(record, false)).toBe('03:04:05 warn worker-1 3/120: halts reason="a b"')
    expect(logText(record, true)).toContain('\x1b[33mwarn\x1b[0m')
  })

  it("takes nobody else's words for a line of it", () => {
    for (const line of ['', 'free(): invalid pointer', '{"level":"warn"}', '{"level":"warn', '{"a":1}'])
      expect(parseLogRecord(line)).toBeNull()
  })
})

describe('a log file', () => {
  it('never has more than its bound, twice', () => {
    const path = join(temporaryFolder(), 'logs/worker-0.jsonl')
    const file = new LogFile(path, 1000)
    for (let index = 0; index < 200; index++) file.write(`${JSON.stringify({ index })}\n`)
    file.close()
    expect(readdirSync(join(path, '..')).sort()).toEqual(['worker-0.jsonl', 'worker-0.old.jsonl'])
    expect(statSync(path).size).toBeLessThanOrEqual(1000)
    const kept = [path.replace('.jsonl', '.old.jsonl'), path].flatMap((name) => readLines(name))
    expect(kept.map(({ index }) => index)).toEqual(kept.map((_, index) => 200 - kept.length + index))
  })

  it('goes on with what is there, and does without a disk', () => {
    const path = join(temporaryFolder(), 'a.jsonl')
    for (const index of [1, 2]) {
      const file = new LogFile(path)
      file.write(`{"index":${index}}\n`)
      file.close()
    }
    expect(readLines(path)).toEqual([{ index: 1 }, { index: 2 }])
    expect(() => new LogFile('/proc/none/a.jsonl').write('{}\n')).not.toThrow()
  })
})

describe("a worker's output", () => {
  it('has the last words of a process that crashes, after those of its log', async () => {
    const folder = temporaryFolder()
    const said = JSON.stringify({ level: 'info', time: 't', ...context(), msg: 'hello' })
    const script = `process.stderr.write(${JSON.stringify(`${said}\n`)}, () => process.stderr.write('free(): invalid pointer', () => process.abort()))`
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'ignore', 'pipe'] })
    const output = new WorkerOutput(child.stderr, folder, 'worker-1', 'quiet')
    await once(child, 'close')
    output.ended('its process was ended by SIGABRT')
    expect(output.lastWords).toContain('free(): invalid pointer')
    const lines = readLines(logPath(folder, 'worker-1'))
    const [first, second] = lines // a stack follows
    expect([first, second, lines.at(-1)]).toMatchObject([
      { msg: 'hello', ...context() },
      { level: 'warn', msg: expect.stringContaining('free()'), stream: 'stderr', ...context() },
      { level: 'error', msg: 'its process was ended by SIGABRT', ...context() },
    ])
  })

  it('is bounded where a line never ends', async () => {
    const folder = temporaryFolder()
    const script = `process.stderr.write('x'.repeat(100_000))`
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'ignore', 'pipe'] })
    const output = new WorkerOutput(child.stderr, folder, 'worker-1', 'quiet')
    await once(child, 'close')
    expect(output.lastWords?.length).toBeLessThanOrEqual(4000)
  })
})

describe("the coordinator's log", () => {
  it('has the events of the run, with the generation and the step that it has reached', () => {
    const path = join(temporaryFolder(), 'run')
    const images = { count: 1, height: 1, width: 1, channels: 1 }
    const file = { formatVersion: 1 as const, runId: 'r', dataDir: null, images, config: resolveConfig({}) }
    const folder = RunFolder.create(path, file)
    const tell = vi.fn()
    openRunLog(folder, 'r', 'info', tell)
    folder.event('generation', { generation: 2, step: 7, worldSize: 2, reason: 'why' })
    folder.event('lost', { workerId: 'worker-0', step: 9, reason: 'its process was ended by SIGSEGV' })
    expect(readLines(logPath(path, 'coordinator'))).toMatchObject([
      { level: 'info', run: 'r', worker: 'coordinator', generation: 2, step: 7, msg: 'generation', worldSize: 2 },
      { level: 'warn', generation: 2, step: 9, msg: 'lost', workerId: 'worker-0' },
    ])
    expect(tell).toHaveBeenCalledTimes(2)
    expect(existsSync(join(path, 'events.jsonl'))).toBe(true)
  })
})

describe('how much a command says', () => {
  it('is one of three', () => {
    expect([{}, { quiet: true }, { verbose: true }].map(verbosity)).toEqual(['normal', 'quiet', 'verbose'])
    expect(() => verbosity({ quiet: true, verbose: true })).toThrow('--quiet and --verbose: write one of them')
  })
})
