import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { dieWithParent, hasTool, patience, readLines, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const there = hasTool('python3', '-c', 'import tensorboard')

describe.skipIf(!there)('--tensorboard', () => {
  it('the real TensorBoard shows scalars, sample grids and histograms; a resumed run has no step twice', async () => {
    const folder = join(temporaryFolder(), 'run')
    const every = ['--checkpoint-every', '5', '--sample-every', '5', '--backend', 'wasm', '--workers', '1']
    const begun = await ringleader('train', '--tensorboard', '--steps', '12', ...every, '--run-dir', folder)
    expect(begun).toMatchObject({ code: 0, stderr: '' })
    expect(await ringleader('train', '--resume', folder, '--steps', '20', '--backend', 'wasm')).toMatchObject({
      code: 0,
    })
    const board = await openBoard(folder)
    try {
      const tags = await board.ask<Record<string, Record<string, unknown>>>('scalars/tags')
      expect(Object.keys(tags.tensorboard ?? {})).toEqual(
        expect.arrayContaining(['vaeLoss', 'seconds', 'imagesPerSecond']),
      )
      const points = await board.ask<[number, number, number][]>('scalars/scalars?run=tensorboard&tag=vaeLoss')
      expect(points.map(([, step]) => step)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1))
      const lines = readLines(join(folder, 'metrics.jsonl'))
      for (const [index, [, , loss]] of points.entries()) expect(loss).toBeCloseTo(Number(lines[index]?.vaeLoss), 3)
      const grids = await board.ask<{ step: number; query: string }[]>(
        'images/images?run=tensorboard&tag=samples&sample=0',
      )
      expect(grids.map(({ step }) => step)).toEqual([5, 10, 12, 15, 20])
      const grid = await fetch(`${board.address}data/plugin/images/individualImage?${grids[0]?.query}`)
      const own = readFileSync(join(folder, 'samples/step-00000005.png'))
      expect(own.equals(Buffer.from(await grid.arrayBuffer()))).toBe(true)
      const histograms = await board.ask<Record<string, Record<string, unknown>>>('histograms/tags')
      const [tag = ''] = Object.keys(histograms.tensorboard ?? {}).filter((name) => name.endsWith('/kernel'))
      const drawn = await board.ask<[number, number, [number, number, number][]][]>(
        `histograms/histograms?run=tensorboard&tag=${encodeURIComponent(tag)}`,
      )
      expect(drawn.map(([, step]) => step)).toEqual([5, 10, 12, 15, 20])
      for (const [, , buckets] of drawn)
        expect(buckets.reduce((sum, [, , count]) => sum + count, 0)).toBeGreaterThan(100)
    } finally {
      board.close()
    }
  })
})

async function openBoard(folder: string) {
  const [command = '', ...rest] = [...dieWithParent(), 'python3', '-m', 'tensorboard.main', '--logdir', folder]
  const child = spawn(command, [...rest, '--port', '0', '--host', '127.0.0.1'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()))
  const address = await vi.waitUntil(() => /http:\/\/127\.0\.0\.1:\d+\//.exec(said)?.[0], patience)
  /** What a plugin answers, once the files are read. */
  const ask = <Answer>(path: string) =>
    vi.waitFor(async () => {
      const response = await fetch(`${address}data/plugin/${path}`, { signal: AbortSignal.timeout(5000) })
      expect(response.status).toBe(200)
      const answer = (await response.json()) as Answer
      expect(Object.keys(answer as object).length).toBeGreaterThan(0)
      return answer
    }, patience)
  return { address, ask, close: () => child.kill('SIGKILL') }
}
