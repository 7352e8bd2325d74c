import { describe, expect, it } from 'vitest'
import { parseConfig, type RunOptions, resolveConfig, storedConfigSchema } from '../../shared/core/config.ts'
import { learningRate } from '../../worker/optimizer/optimizer.ts'

describe('a configuration', () => {
  it('is complete from the model alone, and survives JSON', () => {
    for (const model of ['vae', 'gan'] as const) {
      const config = resolveConfig({ model })
      expect(config).toMatchObject({ model, dataset: 'mnist', batchSize: 128, seed: 1, lanes: 8, optimizer: 'adam' })
      expect(parseConfig(JSON.parse(JSON.stringify(config)))).toEqual(config)
    }
  })

  it('in a file of a version that knew fewer options is what they do by default', () => {
    const { r1Every, deal, inspectEvery, ...older } = resolveConfig({ model: 'gan', recipe: 'non-saturating' })
    expect(storedConfigSchema.parse(older)).toEqual({ ...older, r1Every, deal, inspectEvery })
    expect(() => storedConfigSchema.parse({ ...older, r1Ever: 2 })).toThrow(/r1Ever/)
  })

  it("has the article's GAN as a recipe: Adam 2e-4 for both networks, five discriminator updates", () => {
    const config = resolveConfig({ model: 'gan', recipe: 'article' })
    expect(config).toMatchObject({
      learningRates: { generator: 2e-4, discriminator: 2e-4 },
      beta1: 0.5,
      discriminatorUpdates: 5,
    })
  })

  it('takes one rate for all networks, and steps instead of epochs', () => {
    expect(resolveConfig({ model: 'gan', learningRate: 1e-3, steps: 5 })).toMatchObject({
      learningRates: { generator: 1e-3, discriminator: 1e-3 },
      steps: 5,
      epochs: null,
    })
  })

  it('has lanes for the largest group', () => {
    expect(resolveConfig({ maxWorkers: 13 }).lanes).toBe(16)
    expect(resolveConfig({ maxWorkers: 2 }).lanes).toBe(8)
    expect(resolveConfig({ maxWorkers: 1024, batchSize: 1024 }).lanes).toBe(1024)
  })

  const refused: [RunOptions, RegExp][] = [
    [{ maxWorkers: 1025, batchSize: 2048 }, /--max-workers 1025: write 1024 or less/],
    [{ maxWorkers: 1024 }, /--batch-size 128 is below the number of workers; write at least 1024/],
    [{ batchSize: 0 }, /--batch-size 0: write a number above 0/],
    [{ batchSize: 5000 }, /--batch-size 5000: write 4096 or less/],
    [{ epochs: 1.5 }, /--epochs 1.5: write a whole number/],
    [{ epochs: 1, steps: 1 }, /exclude each other/],
    [{ learningRate: -1 }, /--learning-rate -1: write a number above 0/],
    [{ lanes: 12 }, /--lanes 12: write a power of two/],
    [{ lanes: 2, maxWorkers: 3 }, /--max-workers 3 needs at least as many lanes; write --lanes 4/],
    [{ minWorkers: 5, maxWorkers: 4 }, /--min-workers 5 is above --max-workers 4/],
    [{ batchSize: 3, maxWorkers: 4 }, /--batch-size 3 is below the number of workers; write at least 4/],
    [{ compression: 'bf16', reproducible: true }, /--compression bf16 rounds sums .* with --reproducible leave it out/],
    [{ compression: 'topk', algorithm: 'ring' }, /--algorithm ring passes sums on.* topk write --algorithm auto/],
    [{ compressionRatio: 0.1 }, /--compression-ratio is for top-k alone; write --compression topk/],
    [{ compression: 'topk', compressionRatio: 0.9 }, /--compression-ratio 0.9: write 0.5 or less/],
    [{ reproducible: true, algorithm: 'ring' }, /--algorithm ring .* with --reproducible write --algorithm auto/],
    [{ recipe: 'x' }, /--recipe x is unknown for this model; write one of default/],
  ]
  it.each(refused)('%j is refused', (options, message) => {
    expect(() => resolveConfig(options)).toThrow(message)
  })

  it('learning rates stay, or fall to a twentieth over their epochs, however long the run is', () => {
    const config = resolveConfig({ model: 'vae' })
    expect(learningRate(config, 'encoder', 500, 100)).toBe(1e-3)
    for (const epochs of [10, 100]) {
      const falling = { ...config, epochs, decayEpochs: 10 }
      const rates = [0, 500, 1000, 5000].map((step) => learningRate(falling, 'encoder', step, 100))
      for (const [index, rate] of [1e-3, 5e-4, 5e-5, 5e-5].entries()) expect(rates[index]).toBeCloseTo(rate, 12)
    }
  })
})
