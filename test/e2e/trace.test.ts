import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, childrenOf, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'
import { type ReadTrace, readTrace, type Stretch } from '../support/trace-events.ts'

const same = (a: Stretch, b: Stretch, ...keys: string[]) => keys.every((key) => a.args[key] === b.args[key])
const workersOf = ({ processes }: ReadTrace) => [...processes].filter(([, name]) => name.startsWith('worker-'))

describe('--trace', () => {
  it.each([
    ['vae', 20, 0],
    ['gan', 4, 5],
  ] as const)(
    'shows that buckets of a %s leave while the backward pass computes, on one clock',
    async (model, steps, phase) => {
      const folder = join(temporaryFolder(), 'run')
      const flags = ['--model', model, '--steps', String(steps), '--workers', '2', '--wire', 'tcp', '--run-dir', folder]
      expect(await ringleader('train', ...flags, '--trace')).toMatchObject({ code: 0, stderr: '' })
      const trace = readTrace(folder)
      const workers = workersOf(trace)
      expect(workers.map(([, name]) => name).sort()).toEqual(['worker-0', 'worker-1'])

      const [computed, buckets] = [trace.stretches(/^backward$/), trace.stretches(/^bucket \d+$/)]
      const leaving = trace.events.filter(({ name }) => name === 'bucket leaves')
      const backwards = computed.filter(({ args }) => args.phase === phase)
      expect(backwards).toHaveLength(2 * steps)
      let began = 0
      for (const backward of backwards) {
        const left = leaving.filter(({ pid, ts, args }) => {
          const ofIt = pid === backward.pid && args.step === backward.args.step && args.phase === phase
          return ofIt && ts > backward.start && ts < backward.end
        })
        expect(left.length, `step ${backward.args.step}`).toBeGreaterThan(0)
        for (const { args } of left) expect(args.bytes).toBeGreaterThanOrEqual(0.9 * 2 ** 20)
        const early = (bucket: Stretch) => bucket.pid === backward.pid && bucket.start < backward.end
        if (buckets.some((bucket) => early(bucket) && same(bucket, backward, 'step', 'phase'))) began++
      }
      expect(began).toBeGreaterThan(steps / 2) // the other thread may have no core at the moment

      const errorMs = trace.events.filter(({ name }) => name === 'clock').map(({ args }) => Number(args.errorMs))
      expect(errorMs.length).toBeGreaterThanOrEqual(2)
      const sends = trace.stretches(/^send$/)
      const receives = trace.stretches(/^receive$/)
      expect(receives.length).toBeGreaterThanOrEqual(2 * steps)
      for (const receive of receives) {
        const sent = sends.filter(
          (send) => send.pid !== receive.pid && same(send, receive, 'generation', 'step', 'phase', 'bucket', 'bytes'),
        )
        const first = Math.min(...sent.map(({ start }) => start))
        expect(receive.end).toBeGreaterThanOrEqual(first - 1000 * Math.min(...errorMs))
      }
    },
  )

  it('has the phases of every step within it, up to the last one of both workers when a run is stopped', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--run-dir', folder, '--workers', '2', '--trace', '--trace-steps', '100000'])
    await waitForStep(train, folder, 30)
    train.kill('SIGINT')
    const { code, stdout } = await train.finished
    expect(code).toBe(130)
    const last = Number(/interrupted at step (\d+)/.exec(stdout)?.[1])
    const trace = readTrace(folder)
    const parts = trace.stretches(/^(prepare|input|forward|backward|all-reduce wait|optimizer)$/)
    for (const [pid] of workersOf(trace)) {
      const steps = trace.stretches(/^step$/).filter((step) => step.pid === pid)
      expect(steps.map(({ args }) => args.step)).toEqual(Array.from({ length: last }, (_, index) => index + 1))
      for (const step of steps) {
        const own = parts.filter((part) => part.pid === pid && same(part, step, 'step', 'generation'))
        expect(own.map(({ name }) => name)).toEqual([
          'prepare',
          'input',
          'forward',
          'backward',
          'all-reduce wait',
          'optimizer',
        ])
        for (const part of own) expect(part.start >= step.start && part.end <= step.end).toBe(true)
      }
      expect(trace.stretches(/^checkpoint$/).some((checkpoint) => checkpoint.pid === pid)).toBe(true)
    }
    expect(trace.stretches(/^garbage collection$/).length).toBeGreaterThan(0)
  })

  it('survives the kill of a worker and of the coordinator, and has the steps after each change of membership', async () => {
    const folder = join(temporaryFolder(), 'run')
    const flags = ['--run-dir', folder, '--workers', '2', '--trace', '--trace-steps', '10', '--epochs', '4']
    const train = new Cli(['train', ...flags])
    await waitForStep(train, folder, 50)
    process.kill(childrenOf(train.child.pid, 'worker-process')[0] ?? -1, 'SIGKILL')
    await train.printed(/: 1 worker,[\s\S]*: 2 workers/)
    await waitForStep(train, folder, 300)
    readTrace(folder) // whole in the middle of the run
    process.kill(childrenOf(train.child.pid, 'coordinator-process')[0] ?? -1, 'SIGKILL')
    await waitForStep(train, folder, 900)
    train.kill('SIGINT')
    expect((await train.finished).code).toBe(130)
    const trace = readTrace(folder)
    const kinds = trace.events.filter(({ pid }) => pid === 1).map(({ name }) => name)
    expect(kinds.filter((name) => name === 'start')).toHaveLength(2)
    expect(kinds.filter((name) => name === 'generation').length).toBeGreaterThanOrEqual(3)
    expect(trace.stretches(/^worker-\d dead$/)).toHaveLength(1)
    expect(trace.stretches(/^(detect|re-form|first commit)$/)).toHaveLength(3)
    const steps = trace.stretches(/^step$/)
    for (const generation of [1, 2, 3]) {
      const ofIt = steps.filter(({ args }) => args.generation === generation)
      for (const [pid] of workersOf(trace)) {
        const { length } = ofIt.filter((step) => step.pid === pid)
        expect(length).toBeLessThanOrEqual(10)
        if (generation === 1) expect(length).toBe(10)
      }
      expect(ofIt.length).toBeGreaterThan(0)
    }
    expect(new Set(steps.map(({ args }) => args.generation)).size).toBeGreaterThanOrEqual(3)
  })

  it('is not there where nobody asked for it', async () => {
    const folder = join(temporaryFolder(), 'run')
    await ringleader('train', '--steps', '2', '--workers', '1', '--run-dir', folder)
    expect(existsSync(join(folder, 'trace.json'))).toBe(false)
  })
})
