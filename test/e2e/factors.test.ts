import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { available, readJson, readLines, ringleader } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const hasNative = available(findNative() !== null, 'native TensorFlow')

describe.skipIf(!hasNative)('the factors of a wide gradient', () => {
  it('travel in its place, and train alike', async () => {
    const train = async (...options: string[]) => {
      const folder = join(temporaryFolder(), 'run')
      const args = ['--model', 'gan', '--steps', '6', '--workers', '2', '--threads', '1', '--seed', '3', ...options]
      const { code } = await ringleader('train', ...args, '--http', '127.0.0.1:0', '--run-dir', folder)
      expect(code).toBe(0)
      expect(readJson(join(folder, 'summary.json'))).toMatchObject({ status: 'completed', incidents: [] })
      return readLines(join(folder, 'metrics.jsonl'))
    }
    const [factored, plain] = [await train(), await train('--algorithm', 'direct')]
    const bytes = (steps: typeof plain) => Number(steps.at(-1)?.allReduceBytes)
    expect(bytes(factored)).toBeLessThan(bytes(plain) / 3)
    for (const [index, step] of plain.entries()) {
      for (const name of ['discriminatorLoss', 'generatorLoss', 'discriminatorGradientNorm', 'generatorGradientNorm']) {
        const value = Number(step[name])
        const difference = Math.abs(Number(factored[index]?.[name]) - value)
        expect(difference, `${name} of step ${index + 1}`).toBeLessThanOrEqual(1e-3 * Math.max(1, value))
      }
    }
  })
})
