import { beforeAll, describe, expect, it } from 'vitest'
import { Stability } from '../../coordinator/stability/stability.ts'
import type { RunOptions } from '../../shared/core/config.ts'
import { parseDescription } from '../../shared/model/description.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { alone, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const source = tinySource(320, 16)
/** Generator and discriminator are a dense layer each: its bias is the only image that matters, and it sees how bright each pixel is on average. */
const linearGan = parseDescription(
  {
    name: 'linear-gan',
    family: 'gan',
    pixelRange: [-1, 1],
    networks: [
      { name: 'generator', input: 'latent', layers: [{ kind: 'dense', name: 'dense0', units: 'pixels' }] },
      { name: 'discriminator', input: 'image', layers: [{ kind: 'dense', name: 'dense0', units: 1 }] },
    ],
    recipes: { default: { epochs: 1, latentSize: 2, learningRates: { generator: 0.1, discriminator: 0.1 } } },
  },
  'linearGan',
)
let backend: Backend

beforeAll(async () => {
  backend = await openBackend('auto', 1)
})

/** Alarms of a real training of tiny images, with a look every `every` steps. */
async function alarms(options: RunOptions, steps: number, every: number): Promise<string[]> {
  const { trainer } = makeTrainer(backend, { steps, ...options }, source)
  const stability = new Stability()
  for (let step = 0; step < steps; step++) {
    const { committed } = await trainer.step(step, alone, noVotes)
    stability.committed(committed)
    if ((step + 1) % every === 0) stability.inspected(step + 1, await trainer.inspect(step + 1), 10)
  }
  return stability.alarms.map(({ illness }) => illness)
}

describe('an ill training raises its alarm', () => {
  it('a VAE with a rate that is far too high', async () => {
    const found = await alarms({ model: 'vae', learningRate: 3 }, 40, 100)
    expect(found.some((illness) => illness === 'divergence' || illness === 'non-finite')).toBe(true)
  })

  it('a VAE whose KL weighs far too much: no latent dimension is used', async () => {
    expect(await alarms({ model: 'vae', beta: 1000 }, 100, 20)).toContain('posterior-collapse')
  })

  it('a GAN whose generator stands still: the discriminator is right, and sure', async () => {
    const learningRates = { generator: 1e-9, discriminator: 2e-3 }
    expect(await alarms({ model: 'gan', learningRates }, 150, 1000)).toContain('discriminator-too-strong')
  })

  it('a linear GAN, whose updates turn in a circle around the equilibrium; and none once R1 pulls it there', async () => {
    const linear: RunOptions = {
      ...{ description: linearGan, loss: 'wgan', weightClip: 100, optimizer: 'sgd', discriminatorUpdates: 1 },
      learningRates: { generator: 0.1, discriminator: 0.1 },
    }
    expect(await alarms(linear, 700, 1000)).toEqual(['oscillation'])
    expect(await alarms({ ...linear, r1: 1 }, 700, 1000)).toEqual([])
  })
})

it('a healthy VAE raises none', async () => {
  expect(await alarms({ model: 'vae' }, 100, 50)).toEqual([])
})

describe('what is measured', () => {
  it('weight norms and update ratios, every twentieth step; gradient norms of each network', async () => {
    const { trainer, state } = makeTrainer(backend, { model: 'vae' }, source)
    const norm = () =>
      Math.sqrt(
        state.slots
          .filter(({ network }) => network === 'encoder')
          .reduce((sum, { weights }) => sum + weights.reduce((all, value) => all + value * value, 0), 0),
      )
    const { scalars } = (await trainer.step(0, alone, noVotes)).committed
    expect(scalars.encoderWeightNorm).toBeCloseTo(norm(), 3)
    expect(scalars.encoderUpdateRatio).toBeGreaterThan(1e-4)
    expect(scalars.encoderUpdateRatio).toBeLessThan(1)
    const { encoderGradientNorm = 0, decoderGradientNorm = 0, vaeGradientNorm } = scalars
    expect(Math.hypot(encoderGradientNorm, decoderGradientNorm)).toBeCloseTo(vaeGradientNorm ?? 0, 3)
    expect((await trainer.step(1, alone, noVotes)).committed.scalars).not.toHaveProperty('encoderWeightNorm')
  })

  it.each([
    ['non-saturating', ['realAccuracy', 'fakeAccuracy']],
    ['lsgan', ['realAccuracy', 'fakeAccuracy']],
    ['wgan-gp', ['pairAccuracy']],
  ] as const)('the accuracy of a discriminator with %s', async (loss, names) => {
    const { trainer } = makeTrainer(backend, { model: 'gan', loss }, source)
    const { scalars } = (await trainer.step(0, alone, noVotes)).committed
    for (const name of names) {
      expect(scalars[name]).toBeGreaterThanOrEqual(0)
      expect(scalars[name]).toBeLessThanOrEqual(1)
      expect((scalars[name] ?? 0) * 32 * 2).toBeCloseTo(Math.round((scalars[name] ?? 0) * 32 * 2), 3) // rows of a batch of 32
    }
  })

  it('a look keeps no tensors', async () => {
    const { trainer } = makeTrainer(backend, { model: 'vae' }, source)
    await trainer.step(0, alone, noVotes)
    await trainer.inspect(1)
    const before = backend.tensorCount()
    expect(Object.keys(await trainer.inspect(1)).sort()).toEqual(['activeShare', 'activeUnits', 'diversity'])
    expect(backend.tensorCount()).toBe(before)
  })
})
