import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Cli, childrenOf, readJson, readLines, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const base = temporaryFolder()
const gan = ['--model', 'gan', '--reproducible', '--seed', '7', '--json']
/** GAN_KILLS, COORDINATOR_KILLS, WORKER_KILLS and SIMULATIONS make it shorter or longer. */
const number = (name: string, usual: number) => Number(process.env[name] ?? usual)

function tell(line: string): void {
  process.stderr.write(`${line}\n`)
  if (process.env.ACCEPTANCE_LOG) appendFileSync(process.env.ACCEPTANCE_LOG, `${line}\n`)
}

interface Incident {
  readonly kind: string
  readonly detectMs: number
  readonly reformMs: number | null
  readonly firstCommitMs: number | null
}

describe('train --model gan --steps 60 --reproducible --seed 7', () => {
  let reference = ''
  const train = (name: string, workers: number, steps = 60) =>
    new Cli(['train', ...gan, '--steps', `${steps}`, '--workers', `${workers}`, '--run-dir', join(base, name)])
  const victim = (run: Cli, name: string, index = 0) => childrenOf(run.child.pid, name)[index] ?? -1
  const hashOf = async (run: Cli) => {
    const { code, stdout, stderr } = await run.finished
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout) as { weightsSha256: string; incidents: Incident[] }
  }

  it.each([3, 1, 2, 4])('%i workers', async (workers) => {
    const { weightsSha256 } = await hashOf(train(`workers-${workers}`, workers))
    reference ||= weightsSha256
    tell(`${workers} workers: ${weightsSha256}`)
    expect(weightsSha256).toBe(reference)
  })

  it.each(Array.from({ length: number('GAN_KILLS', 20) }, (_, index) => index))(
    'a worker killed at a random moment, number %i',
    async (index) => {
      const run = train(`kill-${index}`, 3)
      await waitForStep(run, join(base, `kill-${index}`), 1 + Math.floor(Math.random() * 55))
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 700)) // anywhere within a step
      process.kill(victim(run, 'worker-process', Math.floor(Math.random() * 3)), 'SIGKILL')
      const { weightsSha256, incidents } = await hashOf(run)
      tell(`kill ${index}: ${weightsSha256 === reference}, incidents ${JSON.stringify(incidents)}`)
      expect(weightsSha256).toBe(reference)
    },
  )

  it('a worker stopped with SIGSTOP, and the coordinator killed', async () => {
    const run = train('stop', 3)
    await waitForStep(run, join(base, 'stop'), 15)
    const stopped = victim(run, 'worker-process', 1)
    process.kill(stopped, 'SIGSTOP')
    await run.printed(/is lost: silent/)
    process.kill(stopped, 'SIGCONT')
    await waitForStep(run, join(base, 'stop'), 35)
    process.kill(victim(run, 'coordinator-process'), 'SIGKILL')
    const { weightsSha256 } = await hashOf(run)
    tell(`SIGSTOP, and the coordinator killed: ${weightsSha256 === reference}`)
    expect(weightsSha256).toBe(reference)
  })

  it('a worker joins at step 20', async () => {
    const address = 'tcp://127.0.0.1:7917'
    const flags = ['--bind', address, '--http', '127.0.0.1:0', '--min-workers', '2', '--max-workers', '3']
    const run = new Cli(['coordinator', ...gan, '--steps', '60', ...flags, '--run-dir', join(base, 'join')])
    const join1 = () => new Cli(['worker', '--coordinator', address, '--threads', '1'])
    join1()
    join1()
    await waitForStep(run, join(base, 'join'), 20)
    join1()
    const { weightsSha256 } = await hashOf(run)
    tell(`a worker joins at step 20: ${weightsSha256 === reference}`)
    expect(weightsSha256).toBe(reference)
  })

  it('stopped at step 30 and resumed with another number of workers', async () => {
    await hashOf(train('resumed', 3, 30))
    const flags = ['--steps', '60', '--workers', '2', '--json']
    const { weightsSha256 } = await hashOf(new Cli(['train', '--resume', join(base, 'resumed'), ...flags]))
    tell(`stopped at 30, resumed with 2 workers: ${weightsSha256 === reference}`)
    expect(weightsSha256).toBe(reference)
  })
})

it('the coordinator killed ten times', async () => {
  const kills = number('COORDINATOR_KILLS', 10)
  const folder = join(base, 'coordinator')
  const run = new Cli(['train', '--epochs', '6', '--workers', '3', '--run-dir', folder])
  for (let kill = 0; kill < kills; kill++) {
    await waitForStep(run, folder, 100 + kill * 250)
    process.kill(childrenOf(run.child.pid, 'coordinator-process')[0] ?? -1, 'SIGKILL')
  }
  expect((await run.finished).code).toBe(0)
  const summary = readJson(join(folder, 'summary.json'))
  const steps = readLines(join(folder, 'metrics.jsonl'))
  const at = steps.map(({ time }) => Date.parse(String(time)))
  const pauses = at.slice(1).map((time, index) => ({ step: index + 2, ms: time - (at[index] ?? time) }))
  const longest = pauses.sort((a, b) => b.ms - a.ms).slice(0, 6)
  tell(`coordinator killed ${kills} times: steps ${steps.length}, longest pauses ${JSON.stringify(longest)}`)
  tell(`  incidents ${JSON.stringify(summary.incidents)}, generations ${JSON.stringify(summary.worldSizes)}`)
  expect(summary).toMatchObject({ status: 'completed', steps: 2814, incidents: [] })
  expect(steps).toHaveLength(2814)
  expect(longest[0]?.ms).toBeLessThan(200)
})

it('thirty workers killed', async () => {
  const kills = number('WORKER_KILLS', 30)
  const folder = join(base, 'kills')
  const epochs = Math.ceil(kills / 2) + 1
  const run = new Cli(['train', '--epochs', `${epochs}`, '--workers', '3', '--run-dir', folder])
  for (let kill = 0; kill < kills; kill++) {
    await waitForStep(run, folder, 50 + kill * 230)
    process.kill(childrenOf(run.child.pid, 'worker-process')[kill % 3] ?? -1, 'SIGKILL')
  }
  expect((await run.finished).code).toBe(0)
  const summary = readJson(join(folder, 'summary.json')) as { incidents: Incident[]; coverage: unknown; steps: number }
  const sums = summary.incidents
    .map(({ detectMs, reformMs, firstCommitMs }) => detectMs + (reformMs ?? 1e9) + (firstCommitMs ?? 1e9))
    .sort((a, b) => a - b)
  tell(`${kills} kills: ${sums.length} incidents, sum of phases ${sums} ms`)
  expect(summary.coverage).toMatchObject(Array(epochs).fill({ distinct: 60_000, duplicates: 0, missing: 0 }))
  expect(sums).toHaveLength(kills)
  expect(sums[kills >> 1]).toBeLessThan(1000)
  expect(sums.at(-1)).toBeLessThan(3000)
  expect(summary.steps).toBe(epochs * 469)
})

it('a thousand simulated runs', async () => {
  const runs = number('SIMULATIONS', 1000)
  const seed = process.env.SIMULATION_SEED ?? '200000'
  const flags = ['--runs', `${runs}`, '--seed', seed, '--faults', '8', '--json']
  const { code, stdout } = await ringleader('chaos', '--simulate', ...flags)
  const verdicts = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { passed: boolean; seed: number; violations: string[] })
  const failed = verdicts.filter(({ passed }) => !passed)
  tell(
    `${verdicts.length} simulated runs from seed ${seed}: ${failed.length} failed ${JSON.stringify(failed).slice(0, 2000)}`,
  )
  expect(code).toBe(0)
  expect(verdicts).toHaveLength(runs)
})
