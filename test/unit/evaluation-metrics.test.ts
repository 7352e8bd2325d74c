import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { Matrix } from 'ml-matrix'
import { describe, expect, it } from 'vitest'
import { classMetrics, histogramDivergence } from '../../worker/evaluate/class-metrics.ts'
import { frechetDistance } from '../../worker/evaluate/frechet-distance.ts'
import { kernelDistance, squaredDiscrepancy } from '../../worker/evaluate/kernel-distance.ts'
import { logMeanExp } from '../../worker/evaluate/likelihood.ts'
import { nearestTraining } from '../../worker/evaluate/nearest-training.ts'
import { neighbourMetrics } from '../../worker/evaluate/neighbours.ts'
import type { Products } from '../../worker/evaluate/products.ts'
import { type Features, momentsOf } from '../../worker/evaluate/statistics.ts'
import { root } from '../support/cli.ts'

interface Golden {
  readonly frechet: number
  readonly mmd: number
  readonly neighbours: Readonly<Record<string, Readonly<Record<string, number>>>>
  readonly inceptionScore: number
}
const golden = JSON.parse(readFileSync(join(root, 'test/golden/evaluation.json'), 'utf8')) as Golden

/** As in test/golden/evaluation.py. */
function wave(rows: number, columns: number, phase: number, scale: number): Features {
  const values = Float32Array.from({ length: rows * columns }, (_, index) => {
    const value = Math.sin(12.9898 * index + phase) * 43758.5453
    return scale * (value - Math.floor(value))
  })
  return { values, rows, columns }
}

const plain: Products = (a, b) => {
  const products = new Float32Array(a.rows * b.rows)
  for (let i = 0; i < a.rows; i++)
    for (let j = 0; j < b.rows; j++)
      for (let column = 0; column < a.columns; column++)
        products[i * b.rows + j] =
          (products[i * b.rows + j] ?? 0) +
          (a.values[i * a.columns + column] ?? 0) * (b.values[j * b.columns + column] ?? 0)
  return Promise.resolve(products)
}

const points = (...rows: number[][]): Features => ({
  values: Float32Array.from(rows.flat()),
  rows: rows.length,
  columns: rows[0]?.length ?? 0,
})

const [real, fake] = [wave(150, 8, 1, 2), wave(120, 8, 2, 2.5)]

describe('the Fréchet distance', () => {
  it('is what numpy and scipy find', () =>
    expect(frechetDistance(momentsOf(real), momentsOf(fake))).toBeCloseTo(golden.frechet, 5))

  it('is |Δμ|² + Σ (σ₁ − σ₂)² of normal distributions with the same axes, also where one is flat', () => {
    const normal = (mean: number[], deviations: number[]) => ({
      mean: Float64Array.from(mean),
      covariance: Matrix.diag(deviations.map((deviation) => deviation ** 2)),
    })
    const turned = (angle: number, deviations: [number, number]) => {
      const [c, s] = [Math.cos(angle), Math.sin(angle)]
      const turn = new Matrix([
        [c, -s],
        [s, c],
      ])
      const { mean, covariance } = normal([0, 0], deviations)
      return { mean, covariance: turn.mmul(covariance).mmul(turn.transpose()) }
    }
    expect(frechetDistance(normal([1, 2, 3], [1, 2, 0]), normal([1, 0, 3], [4, 2, 3]))).toBeCloseTo(4 + 9 + 9, 9)
    expect(frechetDistance(turned(0.7, [1, 5]), turned(0.7, [3, 2]))).toBeCloseTo(4 + 9, 9)
  })

  it('of a sample to itself is 0, both ways alike, and moving one moves it by the square', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 2, max: 9 }), (phase, columns) => {
        const [a, b] = [momentsOf(wave(40, columns, phase, 3)), momentsOf(wave(30, columns, phase + 0.5, 1))]
        const moved = { ...b, mean: b.mean.map((value, index) => value + (index === 0 ? 7 : 0)) }
        const offset = (b.mean[0] ?? 0) - (a.mean[0] ?? 0)
        expect(frechetDistance(a, a)).toBeLessThan(1e-9)
        expect(frechetDistance(a, b)).toBeCloseTo(frechetDistance(b, a), 8)
        expect(frechetDistance(a, moved) - frechetDistance(a, b)).toBeCloseTo((offset + 7) ** 2 - offset ** 2, 6)
      }),
      { numRuns: 30 },
    )
  })
})

describe('the kernel distance', () => {
  it('is what numpy finds', async () => expect(await squaredDiscrepancy(plain, real, fake)).toBeCloseTo(golden.mmd, 4))

  it('of subsets that are whole is that of all, without spread; of one distribution it is around 0', async () => {
    const { mean, deviation } = await kernelDistance(plain, real, fake, 1)
    expect(mean).toBeCloseTo(golden.mmd, 4)
    expect(deviation).toBeLessThan(1e-4)
    const alike = await squaredDiscrepancy(plain, wave(600, 8, 3, 2), wave(600, 8, 4, 2))
    expect(Math.abs(alike)).toBeLessThan(golden.mmd / 20)
  })
})

describe('precision, recall, density and coverage', () => {
  it.each(Object.keys(golden.neighbours))('are what scipy finds with %s neighbours', async (k) => {
    const found = await neighbourMetrics(plain, real, fake, Number(k))
    for (const [name, value] of Object.entries(golden.neighbours[k] ?? {}))
      expect(found[name as keyof typeof found], name).toBeCloseTo(value, 9)
  })

  it('of points on a line are counted by hand, the rim outside', async () => {
    // Balls of 1 neighbour: real 0, 1, 10 reach 1, 1, 9; generated 0.5, 2 reach 1.5 each.
    const found = await neighbourMetrics(plain, points([0], [1], [10]), points([0.5], [2]), 1)
    expect(found).toEqual({ precision: 1, recall: 2 / 3, density: 3 / 2, coverage: 1 })
    // 0.5 lies in the balls of 0 and 1; 2 in that of 10 and on the rim of that of 1.
  })

  it('of one distribution are near 1, and coverage near 1 − 2⁻ᵏ', async () => {
    const found = await neighbourMetrics(plain, wave(500, 4, 1, 1), wave(500, 4, 2, 1), 5)
    expect(found.density).toBeGreaterThan(0.9)
    expect(found.density).toBeLessThan(1.1)
    expect(Math.abs(found.coverage - (1 - 2 ** -5))).toBeLessThan(0.03)
    const apart = { ...fake, values: fake.values.map((value) => value + 100) }
    expect(await neighbourMetrics(plain, real, apart, 5)).toEqual({ precision: 0, recall: 0, density: 0, coverage: 0 })
  })
})

describe('classes', () => {
  const normalised = (features: Features): Features => {
    const values = features.values.map((value) => value ** 4 + 1e-3)
    for (let start = 0; start < values.length; start += features.columns) {
      const row = values.subarray(start, start + features.columns)
      const sum = row.reduce((total, value) => total + value, 0)
      for (const index of row.keys()) row[index] = (row[index] ?? 0) / sum
    }
    return { ...features, values }
  }

  it('have the score that numpy finds', () =>
    expect(classMetrics(normalised(wave(60, 5, 3, 1))).score).toBeCloseTo(golden.inceptionScore, 4))

  it('have a score from 1, whatever is drawn being the same, to their number, sure and even', () => {
    expect(classMetrics(points([0.2, 0.8], [0.2, 0.8])).score).toBeCloseTo(1, 6)
    const sure = classMetrics(points([1, 0, 0], [0, 1, 0], [0, 0, 1]))
    expect(sure.score).toBeCloseTo(3, 6)
    expect(sure).toMatchObject({ histogram: [1, 1, 1], modes: 3 })
    const rare = classMetrics(points(...Array.from({ length: 300 }, (_, row) => (row < 2 ? [0, 1] : [1, 0]))))
    expect(rare).toMatchObject({ histogram: [298, 2], modes: 1 })
  })

  it('diverge by Σ p log p / q', () => {
    expect(histogramDivergence([10, 20, 30], [1, 2, 3])).toBeCloseTo(0, 12)
    expect(histogramDivergence([4, 0], [50, 50])).toBeCloseTo(Math.log(2), 12)
  })
})

it('copies of training images are told from new ones', async () => {
  const training = wave(400, 6, 1, 1)
  const unseen = wave(200, 6, 2, 1)
  const copies = { values: training.values.subarray(0, 600), rows: 100, columns: 6 }
  const copied = await nearestTraining(plain, training, unseen, copies)
  expect(copied).toMatchObject({ samples: 100, memorised: 1 })
  expect(copied.median).toBeLessThan(1e-3)
  expect((await nearestTraining(plain, training, unseen, wave(200, 6, 3, 1))).memorised).toBeLessThan(0.05)
})

it('the logarithm of a mean of exponentials does not overflow', () => {
  expect(logMeanExp([-1000, -1000])).toBeCloseTo(-1000, 9)
  expect(logMeanExp([Math.log(1), Math.log(3)])).toBeCloseTo(Math.log(2), 9)
})
