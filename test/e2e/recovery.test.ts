import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, childrenOf, readJson, readLines, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

/** Where groups are counted: a busy host makes workers unequal, which forms a group anew. */
const even = ['--deal', 'even']

describe('a run', () => {
  it('loses no step and no sample to workers that are killed, and starts them again', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--epochs', '2', '--run-dir', folder, '--workers', '3', ...even])
    for (const step of [20, 200, 400]) {
      await waitForStep(train, folder, step)
      await train.printed(/: 3 workers, from step \d+\n(?![\s\S]*is lost)/)
      process.kill(childrenOf(train.child.pid, 'worker-process')[1] ?? -1, 'SIGKILL')
    }
    const { code, stdout } = await train.finished
    expect(code).toBe(0)
    expect(stdout).toMatch(/worker-\d is lost: its (process was ended by SIGKILL|connection is closed)/)
    const summary = readJson(join(folder, 'summary.json'))
    const whole = { distinct: 60_000, duplicates: 0, missing: 0 }
    expect(summary).toMatchObject({ status: 'completed', steps: 938 })
    expect(summary.coverage).toMatchObject([whole, whole])
    const incidents = summary.incidents as { kind: string; detectMs: number; reformMs: number; firstCommitMs: number }[]
    expect(incidents.map(({ kind }) => kind)).toEqual(['dead', 'dead', 'dead'])
    for (const { detectMs, reformMs, firstCommitMs } of incidents)
      expect(Math.min(detectMs, reformMs, firstCommitMs)).toBeGreaterThanOrEqual(0)
    expect((summary.worldSizes as { worldSize: number }[]).map(({ worldSize }) => worldSize)).toEqual([
      3, 2, 3, 2, 3, 2, 3,
    ])
  })

  it('expels a worker that is stopped, and takes it in again when it goes on', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--epochs', '3', '--run-dir', folder, '--workers', '2'])
    await waitForStep(train, folder, 20)
    const [victim = -1] = childrenOf(train.child.pid, 'worker-process')
    process.kill(victim, 'SIGSTOP')
    await train.printed(/is lost: silent for [12]/) // the fault time-out is 3 s
    process.kill(victim, 'SIGCONT')
    await train.printed(/: 1 worker,[\s\S]*: 2 workers/)
    expect((await train.finished).code).toBe(0)
    const summary = readJson(join(folder, 'summary.json'))
    expect(summary).toMatchObject({ status: 'completed', steps: 1407, incidents: [{ kind: 'silent' }] })
    expect(summary.coverage).toMatchObject(Array(3).fill({ distinct: 60_000, duplicates: 0, missing: 0 }))
  })

  it('waits for a worker that is stopped for less than --fault-timeout', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--epochs', '2', '--run-dir', folder, '--workers', '2', '--fault-timeout', '30'])
    await waitForStep(train, folder, 20)
    const [victim = -1] = childrenOf(train.child.pid, 'worker-process')
    process.kill(victim, 'SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 6000)) // twice the default
    process.kill(victim, 'SIGCONT')
    const { code, stderr } = await train.finished
    expect(code).toBe(0)
    expect(stderr).not.toContain('is lost')
    const summary = readJson(join(folder, 'summary.json'))
    expect(summary).toMatchObject({ status: 'completed', steps: 938, incidents: [] })
    expect(new Set((summary.worldSizes as { worldSize: number }[]).map(({ worldSize }) => worldSize))).toEqual(
      new Set([2]),
    )
  })

  it('steps on without its coordinator, which comes back and takes over: no step is lost, no group is formed', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--epochs', '2', '--run-dir', folder, '--workers', '2', ...even])
    for (const step of [30, 200, 500]) {
      await waitForStep(train, folder, step)
      process.kill(childrenOf(train.child.pid, 'coordinator-process')[0] ?? -1, 'SIGKILL')
    }
    const { code, stderr } = await train.finished
    expect(code).toBe(0)
    expect(stderr.match(/the coordinator was ended by SIGKILL; it is started again/g)).toHaveLength(3)
    const summary = readJson(join(folder, 'summary.json'))
    const whole = { distinct: 60_000, duplicates: 0, missing: 0 }
    expect(summary).toMatchObject({ status: 'completed', steps: 938, incidents: [] })
    expect(summary.coverage).toMatchObject([whole, whole])
    expect(summary.worldSizes).toHaveLength(1)
    const steps = readLines(join(folder, 'metrics.jsonl')).map(({ step }) => step)
    expect(steps).toEqual(Array.from({ length: 938 }, (_, index) => index + 1))
    expect(existsSync(join(folder, 'journal'))).toBe(false)
  })

  it('a worker that dies while the coordinator is away costs no step either', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--epochs', '2', '--run-dir', folder, '--workers', '3'])
    await waitForStep(train, folder, 50)
    process.kill(childrenOf(train.child.pid, 'coordinator-process')[0] ?? -1, 'SIGKILL')
    process.kill(childrenOf(train.child.pid, 'worker-process')[0] ?? -1, 'SIGKILL')
    expect((await train.finished).code).toBe(0)
    const summary = readJson(join(folder, 'summary.json'))
    const whole = { distinct: 60_000, duplicates: 0, missing: 0 }
    expect(summary).toMatchObject({ status: 'completed', steps: 938, incidents: [{ workerId: 'worker-0' }] })
    expect(summary.coverage).toMatchObject([whole, whole])
  })

  it('goes back to the last checkpoint when every worker is killed at once', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--epochs', '1', '--checkpoint-every', '50', '--run-dir', folder, '--workers', '2'])
    await waitForStep(train, folder, 120)
    for (const worker of childrenOf(train.child.pid, 'worker-process')) process.kill(worker, 'SIGKILL')
    const { code, stdout } = await train.finished
    expect(code).toBe(0)
    expect(stdout).toMatch(/goes on from step \d+ \(no worker held a later state\): \d+ steps are computed again/)
    expect(readJson(join(folder, 'summary.json'))).toMatchObject({
      status: 'completed',
      coverage: [{ distinct: 60_000, duplicates: 0, missing: 0 }],
    })
  })

  it('--reproducible: the same bits for 1 to 4 workers, through kills, and resumed with another number', async () => {
    const base = temporaryFolder()
    const flags = ['--reproducible', '--seed', '7', '--json']
    const hashes: unknown[] = []
    for (const workers of ['1', '2', '3', '4']) {
      const { stdout } = await ringleader(
        'train',
        ...flags,
        '--steps',
        '60',
        '--workers',
        workers,
        '--run-dir',
        join(base, workers),
      )
      hashes.push(JSON.parse(stdout).weightsSha256)
    }
    const killed = join(base, 'killed')
    const train = new Cli(['train', ...flags, '--steps', '60', '--workers', '3', '--run-dir', killed])
    for (const [index, step] of [10, 35].entries()) {
      await waitForStep(train, killed, step)
      process.kill(childrenOf(train.child.pid, 'worker-process')[index] ?? -1, 'SIGKILL')
    }
    const summary = JSON.parse((await train.finished).stdout)
    expect(summary.incidents).toHaveLength(2)
    hashes.push(summary.weightsSha256)
    const parts = join(base, 'parts')
    await ringleader('train', ...flags, '--steps', '30', '--workers', '3', '--run-dir', parts)
    const resumed = await ringleader('train', '--resume', parts, '--steps', '60', '--workers', '2', '--json')
    hashes.push(JSON.parse(resumed.stdout).weightsSha256)
    expect(hashes).toEqual(Array(6).fill(hashes[0]))
  })
})
