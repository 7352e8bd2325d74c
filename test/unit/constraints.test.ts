import { beforeAll, describe, expect, it } from 'vitest'
import type { RunOptions } from '../../shared/core/config.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { between, normalQuantile, plane } from '../../worker/latents.ts'
import { classOf, fixedLatents } from '../../worker/step/fixed-latents.ts'
import { drawNoise } from '../../worker/step/noise.ts'
import { denseGan } from '../support/models.ts'
import { alone, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const source = tinySource(70, 16)
let backend: Backend

beforeAll(async () => {
  backend = await openBackend('auto', 1)
})

describe('latent vectors', () => {
  it('between two others lie on the sphere, or on the line', () => {
    const [a, b] = [Float32Array.of(2, 0), Float32Array.of(0, 2)]
    const curved = between(a, b, 3, true).map((vector) => [...vector])
    expect(curved[1]?.map((value) => value.toFixed(4))).toEqual(['1.4142', '1.4142'])
    expect(between(a, b, 3, false).map((vector) => [...vector])).toEqual([
      [2, 0],
      [1, 1],
      [0, 2],
    ])
    expect([...(between(a, a, 3, true)[1] ?? [])]).toEqual([2, 0])
  })

  it('of an interpolation: rows of ten from one vector to the next, both of which are samples', () => {
    const { state } = makeTrainer(backend, { model: 'vae' }, source)
    const spec = { latentSize: 3, noise: 'normal' } as const
    const all = (picture: 'samples' | 'interpolation', count: number) => {
      const values = fixedLatents(state, spec, picture, count, 7)
      return Array.from({ length: count }, (_, row) => [...values.subarray(3 * row, 3 * row + 3)])
    }
    const [samples, rows] = [all('samples', 6), all('interpolation', 25)]
    expect(rows).toHaveLength(25)
    const near = (a: readonly number[] = [], b: readonly number[] = []) =>
      expect(Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? 0))))).toBeLessThan(1e-5)
    for (const [at, sample] of [0, 9, 10, 19, 20].map((at, index) => [at, samples[index]] as const))
      near(rows[at], sample)
    expect(rows[4]).not.toEqual(rows[5])
    expect([0, 9, 10, 99, 100].map((index) => classOf('interpolation', index))).toEqual([0, 0, 1, 9, 0])
  })

  it('of a map lie at equally likely coordinates, the first row above', () => {
    const map = plane(4)
    expect(map).toHaveLength(16 * 2)
    expect([map[0], map[1]].map((value) => value?.toFixed(2))).toEqual(['-1.15', '1.15']) // Φ⁻¹(7/8)
    expect([map[30], map[31]].map((value) => value?.toFixed(2))).toEqual(['1.15', '-1.15'])
    expect(normalQuantile(0.975)).toBeCloseTo(1.95996, 3)
  })

  it.each(['normal', 'uniform', 'truncated', 'spherical', 'bernoulli'] as const)(
    '%s have the moments that they are to have',
    (kind) => {
      const { state } = makeTrainer(backend, { model: 'vae' }, source)
      const [rows, size] = [500, 20]
      drawNoise(state, kind, 0, rows, size, { seed: 5, stream: 4, step: 3, lane: 2 })
      const values = state.floats(state.scratch, rows * size).slice()
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length
      const square = values.reduce((sum, value) => sum + value * value, 0) / values.length
      expect(Math.abs(mean)).toBeLessThan(0.04)
      // 1 − 2 · 2 φ(2) / (Φ(2) − Φ(−2)) for the truncated one
      expect(square).toBeCloseTo(
        { normal: 1, uniform: 1 / 3, truncated: 0.7737, spherical: 1, bernoulli: 1 }[kind],
        kind === 'spherical' || kind === 'bernoulli' ? 5 : 1,
      )
      if (kind === 'truncated') expect(values.every((value) => Math.abs(value) <= 2)).toBe(true)
      if (kind === 'bernoulli') expect(new Set(values)).toEqual(new Set([-1, 1]))
      drawNoise(state, kind, 7 * size, 100, size, { seed: 5, stream: 4, step: 3, lane: 2 })
      expect(state.floats(state.scratch + 7 * size * 4, 100 * size)).toEqual(values.subarray(0, 100 * size))
    },
  )

  it.each([
    ['vae', true],
    ['gan', false],
  ] as const)(
    'of another noise: %s learns as it does with normal noise (%s), and makes other samples',
    async (model, same) => {
      const [normal, other] = await Promise.all(
        (['normal', 'spherical'] as const).map(async (noise) => {
          const { state, trainer } = makeTrainer(
            backend,
            { ...(model === 'gan' ? { description: denseGan } : { model }), noise },
            source,
          )
          await trainer.step(0, alone, noVotes)
          return {
            weights: state.slots.map(({ weights }) => [...weights]),
            samples: await trainer.samples('samples', 4),
          }
        }),
      )
      expect(JSON.stringify(normal?.weights) === JSON.stringify(other?.weights)).toBe(same)
      expect(normal?.samples).not.toEqual(other?.samples)
    },
  )
})

describe('a constraint', () => {
  const make = (options: RunOptions) => makeTrainer(backend, { description: denseGan, ...options }, source)

  it('bounds the weights of a critic, and no others', async () => {
    const { state, trainer } = make({ loss: 'wgan', optimizer: 'rmsprop', weightClip: 0.02 })
    await trainer.step(0, alone, noVotes)
    const largest = (network: string) =>
      Math.max(
        ...state.slots
          .filter((slot) => slot.network === network)
          .map(({ weights }) => Math.max(...weights.map(Math.abs))),
      )
    expect(largest('discriminator')).toBeCloseTo(0.02, 6)
    expect(largest('generator')).toBeGreaterThan(0.1)
  })

  it('by spectral norms knows the largest singular value', () => {
    const { state } = make({ loss: 'hinge', spectralNorm: true })
    const slot = (name: string) =>
      state.slots.find((some) => some.name === `discriminator/dense0/${name}`)?.weights ?? []
    const [kernel, left, right] = [slot('kernel'), slot('left'), slot('right')]
    const times = (vector: ArrayLike<number>) =>
      Array.from({ length: left.length }, (_, row) =>
        Array.from(vector).reduce((sum, value, column) => sum + value * (kernel[row * right.length + column] ?? 0), 0),
      )
    const sigma = times(right).reduce((sum, value, row) => sum + value * (left[row] ?? 0), 0)
    let random = Array.from(right, (_, index) => Math.sin(index + 1))
    let norm = 0
    for (let iteration = 0; iteration < 300; iteration++) {
      const image = times(random)
      random = Array.from(random, (_, column) =>
        image.reduce((sum, value, row) => sum + value * (kernel[row * right.length + column] ?? 0), 0),
      )
      norm = Math.hypot(...random) ** 0.5 // of Wᵀ W
      const length = Math.hypot(...random)
      random = random.map((value) => value / length)
    }
    expect(Math.abs(sigma - norm) / norm).toBeLessThan(0.02)
  })

  it('on gradients makes the step that of a gradient of that norm', async () => {
    const clipped = make({ optimizer: 'sgd', learningRate: 1, clipGradientNorm: 1e-3 })
    const before = clipped.state.network('generator')
    const weights = clipped.state.floats(before.weights, before.count).slice()
    await clipped.trainer.step(0, alone, noVotes)
    const moved = clipped.state
      .floats(before.weights, before.count)
      .map((value, index) => value - (weights[index] ?? 0))
    expect(Math.hypot(...moved)).toBeCloseTo(1e-3, 5)
  })

  it('keeps an average that follows the generator, whose weights it starts with', async () => {
    const { state, trainer } = make({ averageDecay: 0.9 })
    const { average, weights, count } = state.network('generator')
    const copy = (offset: number) => state.floats(offset, count).slice()
    const first = copy(weights)
    expect(copy(average ?? 0)).toEqual(first)
    await trainer.step(0, alone, noVotes)
    const decay = 2 / 11 // (1 + 1) / (10 + 1): the first update
    const second = copy(weights)
    for (const [index, value] of copy(average ?? 0).entries())
      expect(value).toBeCloseTo(decay * (first[index] ?? 0) + (1 - decay) * (second[index] ?? 0), 5)
    expect(state.sortedSlots().some(({ name }) => name === 'generatorAverage/dense0/kernel')).toBe(true)
  })
})
