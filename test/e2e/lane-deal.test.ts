import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { Cli, readJson, readLines, ringleader, root, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const training = ['--model', 'vae', '--batch-size', '64', '--seed', '5', '--reproducible', '--inspect-every', '0']

it('a worker of half the speed is dealt fewer lanes while it trains, and not one bit of a reproducible run changes', async () => {
  const [folder, other, slow] = [temporaryFolder(), temporaryFolder(), join(temporaryFolder(), 'slow')]
  const group = ['--bind', 'tcp://127.0.0.1:0', '--http', '127.0.0.1:0', '--min-workers', '2']
  const coordinator = new Cli([
    ...['coordinator', ...training, '--lanes', '16', '--steps', '100000', ...group],
    ...['--run-dir', join(folder, 'run')],
  ])
  const [, address = ''] = await coordinator.printed(/waiting for \d+ workers at (tcp:\S+)/)
  writeFileSync(slow, 'half')
  const preload = join(root, 'test/support/slow-process.cjs')
  const env = { NODE_OPTIONS: `--require ${preload}`, SLOW_PROCESS: slow }
  const join_ = ['worker', '--coordinator', address, '--id']
  const workers = [new Cli([...join_, 'fast']), new Cli([...join_, 'slow'], { env })]
  const [, more, fewer] = await coordinator.printed(/lanes are dealt by speed: fast 8 → (\d+) .* slow 8 → (\d+) /)
  expect(Number(more)).toBeGreaterThanOrEqual(10)
  expect(Number(more) + Number(fewer)).toBe(16)
  await coordinator.printed(/generation 2: 2 workers/)
  const dealt = readLines(join(folder, 'run', 'events.jsonl')).find(({ kind }) => kind === 'dealt')
  await waitForStep(coordinator, join(folder, 'run'), Number(dealt?.step) + 40)
  coordinator.kill('SIGINT')
  for (const ended of [coordinator, ...workers]) await ended.finished

  const events = readLines(join(folder, 'run', 'events.jsonl'))
  const [deal] = events.filter(({ kind }) => kind === 'dealt')
  expect(deal).toMatchObject({
    lanes: [
      { workerId: 'fast', from: 8 },
      { workerId: 'slow', from: 8 },
    ],
  })
  const last = events.filter(({ kind }) => kind === 'generation').at(-1) as { lanes: number[] }
  const summary = readJson(join(folder, 'run', 'summary.json'))
  expect(summary.lanes).toEqual(['fast', 'slow'].map((workerId, rank) => ({ workerId, lanes: last.lanes[rank] })))
  expect(summary.incidents).toEqual([])
  const distinct = Math.min(60_000, 64 * Number(summary.steps))
  expect((summary.coverage as object[])[0]).toMatchObject({ epoch: 0, distinct, duplicates: 0 })

  const alone = ['--lanes', '16', '--steps', String(summary.steps), '--workers', '1', '--run-dir', join(other, 'run')]
  expect((await ringleader('train', ...training, ...alone, '--http', '127.0.0.1:0')).code).toBe(0)
  expect(readJson(join(other, 'run', 'summary.json')).weightsSha256).toBe(summary.weightsSha256)
})
