import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, childrenOf, readLines, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

describe('logs', () => {
  it('of all local workers are in the folder of the run; one that crashes is named at the end, with its log', async () => {
    const folder = join(temporaryFolder(), 'run')
    const train = new Cli(['train', '--steps', '100000', '--workers', '2', '--run-dir', folder])
    await waitForStep(train, folder, 5)
    const [victim = 0] = childrenOf(train.child.pid, 'worker-process')
    process.kill(victim, 'SIGABRT')
    await train.printed(/generation \d+: 2 workers, from step [1-9]/)
    train.kill('SIGINT')
    const { stdout } = await train.finished
    const [, lost = ''] = /first failure: (worker-\d) is lost: /.exec(stdout) ?? []
    expect(stdout).toContain(`log: ${join(folder, 'logs', `${lost}.jsonl`)}`)
    expect(readdirSync(join(folder, 'logs')).sort()).toEqual(['coordinator.jsonl', 'worker-0.jsonl', 'worker-1.jsonl'])
    const lines = readLines(join(folder, 'logs', `${lost}.jsonl`))
    expect(lines.filter(({ msg }) => msg === 'starts')).toHaveLength(2)
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 'error', msg: expect.stringMatching(/ended by SIGABRT/) }),
    )
    const joined = lines.filter(({ msg }) => msg === 'joins a group')
    expect(joined.at(-1)).toMatchObject({ worker: lost, level: 'info', worldSize: 2 })
    expect(Number(joined.at(-1)?.from)).toBeGreaterThan(0)
    const other = readLines(join(folder, 'logs', `worker-${1 - Number(lost.at(-1))}.jsonl`))
    const halts = other.find(({ msg }) => msg === 'halts')
    expect(Number(halts?.step)).toBeGreaterThan(0)
    expect(Number(halts?.generation)).toBeGreaterThan(0)
    expect(halts?.run).toBe(other.at(-1)?.run)
  })

  it('--quiet says nothing, --verbose tells debug lines of coordinator and workers', async () => {
    const flags = ['--steps', '3', '--workers', '1', '--backend', 'wasm']
    const run = () => join(temporaryFolder(), 'run')
    const quiet = await ringleader('train', ...flags, '--quiet', '--run-dir', run())
    expect(quiet).toMatchObject({ code: 0, stdout: '', stderr: '' })
    const verbose = await ringleader('train', ...flags, '--verbose', '--run-dir', run())
    expect(verbose.stderr).toMatch(/^\d\d:\d\d:\d\d info coordinator.*: start/m)
    expect(verbose.stderr).toMatch(/^\d\d:\d\d:\d\d debug worker-0.*: hears message=form/m)
    expect(verbose.code).toBe(0)
    const both = await ringleader('train', '--quiet', '--verbose')
    expect(both).toMatchObject({ code: 2, stderr: 'ringleader: --quiet and --verbose: write one of them\n' })
  })
})
