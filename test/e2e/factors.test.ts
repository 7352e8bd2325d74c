import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { available, readJson, readLines, ringleader } from '../support/cli.ts'
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
})
