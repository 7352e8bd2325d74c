import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { available, Cli, childrenOf, patience, readJson, readLines, ringleader, waitForStep } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const hasNative = available(findNative() !== null, 'native TensorFlow')

describe.skipIf(!hasNative)('the factors of a wide gradient', () => {
  it.each([
    { workers: 2, threads: 1 },
    { workers: 1, threads: 2 },
    { workers: 2, threads: 2 },
    { workers: 3, threads: 1 }, // of 2, 3 and 3 lanes
  ])('take its place, and train alike: $workers workers of $threads threads', async ({ workers, threads }) => {
    const train = async (...options: string[]) => {
      const folder = join(temporaryFolder(), 'run')
      const group = ['--workers', `${workers}`, '--threads', `${threads}`]
      const args = ['--model', 'gan', '--steps', '6', '--seed', '3', ...group, ...options]
      const { code } = await ringleader('train', ...args, '--http', '127.0.0.1:0', '--run-dir', folder)
      expect(code).toBe(0)
      const summary = readJson(join(folder, 'summary.json'))
      expect(summary.status).toBe('completed')
      return { steps: readLines(join(folder, 'metrics.jsonl')), weights: summary.weightsSha256 }
    }
    const [factored, plain] = [await train(), await train('--algorithm', 'direct')]
    expect(factored.weights).not.toBe(plain.weights) // added in another order
    const bytes = ({ steps }: typeof plain) => Number(steps.at(-1)?.allReduceBytes)
    if (workers > 1) expect(bytes(factored)).toBeLessThan(bytes(plain) / 3)
    for (const [index, step] of plain.steps.entries()) {
      for (const name of ['discriminatorLoss', 'generatorLoss', 'discriminatorGradientNorm', 'generatorGradientNorm']) {
        const value = Number(step[name])
        const difference = Math.abs(Number(factored.steps[index]?.[name]) - value)
        expect(difference, `${name} of step ${index + 1}`).toBeLessThanOrEqual(1e-3 * Math.max(1, value))
      }
    }
  })

  it('go into weights that workers of a host hold together, and a death in the midst loses no step', async () => {
    const folder = join(temporaryFolder(), 'run')
    const group = ['--workers', '3', '--threads', '1', '--deal', 'even']
    const args = ['--model', 'gan', '--steps', '110', '--seed', '3', ...group, '--http', '127.0.0.1:0']
    const train = new Cli(['train', ...args, '--run-dir', folder])
    const workers = () => childrenOf(train.child.pid, 'worker-process')
    for (const step of [15, 60]) {
      await waitForStep(train, folder, step)
      await vi.waitFor(() => expect(workers().map(mappedMegabytes)).toEqual([266, 266, 266]), patience)
      process.kill(workers()[1] ?? -1, 'SIGKILL')
      await train.printed(/: 2 workers, from step \d+\n[\s\S]*: 3 workers, from step \d+\n(?![\s\S]*is lost)/)
    }
    expect((await train.finished).code).toBe(0)
    const summary = readJson(join(folder, 'summary.json'))
    expect(summary).toMatchObject({ status: 'completed', steps: 110, incidents: [{ kind: 'dead' }, { kind: 'dead' }] })
    const epochs = summary.coverage as { duplicates: number }[]
    expect(epochs.map(({ duplicates }) => duplicates)).toEqual(epochs.map(() => 0))
  })
})

/** Of the largest file in memory that a process has mapped. */
function mappedMegabytes(pid: number): number {
  const sizes = readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/^(\w+)-(\w+) rw-s .*\/dev\/shm\//gm)
  const bytes = [...sizes].map(([, start = '', end = '']) => Number.parseInt(end, 16) - Number.parseInt(start, 16))
  return Math.round(Math.max(0, ...bytes) / 1e6)
}
