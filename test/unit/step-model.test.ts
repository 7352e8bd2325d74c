import { describe, expect, it } from 'vitest'
import { leastSquares } from '../../shared/core/least-squares.ts'
import { fitStepModel, stepMs } from '../../shared/core/step-model.ts'

describe('least squares', () => {
  it('finds the coefficients of an exact relation, whatever the order of the columns', () => {
    const rows = [0, 1, 2, 3, 7].map((x) => [x * x, x, 1])
    const values = rows.map(([a = 0, b = 0, c = 0]) => 0.5 * a - 3 * b + 12 * c)
    const found = leastSquares(rows, values) ?? []
    for (const [index, wanted] of [0.5, -3, 12].entries()) expect(found[index]).toBeCloseTo(wanted, 9)
  })

  it('is as near as can be: no small change of a coefficient comes nearer', () => {
    const rows = [1, 2, 3, 5, 8].map((n) => [1, 1 / n])
    const values = [10.2, 6.1, 4.4, 3.6, 2.9]
    const distance = (coefficients: readonly number[]) =>
      rows.reduce(
        (sum, row, i) => sum + (row.reduce((y, x, j) => y + x * (coefficients[j] ?? 0), 0) - (values[i] ?? 0)) ** 2,
        0,
      )
    const best = leastSquares(rows, values) ?? []
    for (const [a, b] of [
      [0.01, 0],
      [-0.01, 0],
      [0, 0.01],
      [0, -0.01],
    ] as const)
      expect(distance([(best[0] ?? 0) + a, (best[1] ?? 0) + b])).toBeGreaterThan(distance(best))
  })

  it('says so where the rows do not determine anything', () => {
    expect(
      leastSquares(
        [
          [1, 2],
          [2, 4],
          [3, 6],
        ],
        [1, 2, 3],
      ),
    ).toBeNull()
    expect(leastSquares([[1, 1]], [1])).toBeNull()
  })
})

describe('the model of a step', () => {
  it('is found again from what it gives', () => {
    const points = [1, 2, 4, 8].map((parts) => ({ parts, computeMs: 3 + 40 / parts }))
    const model = fitStepModel(points)
    expect(model?.fixedMs).toBeCloseTo(3, 9)
    expect(model?.sharedMs).toBeCloseTo(40, 9)
    expect(model?.error).toBeLessThan(1e-9)
    expect(model && stepMs(model, 16, 7)).toBeCloseTo(3 + 2.5 + 7, 9)
  })

  it('has no negative times, and says how far it is off', () => {
    const sinking = fitStepModel([1, 2, 4].map((parts) => ({ parts, computeMs: 40 / parts ** 1.2 })))
    expect(sinking?.fixedMs).toBe(0)
    expect(sinking?.error).toBeGreaterThan(0.1)
    const rising = fitStepModel([1, 2, 4].map((parts) => ({ parts, computeMs: 10 + parts })))
    expect(rising).toMatchObject({ sharedMs: 0 })
    expect(rising?.fixedMs).toBeCloseTo(12.33, 2)
  })

  it('cannot be told from one number of parts', () => {
    expect(
      fitStepModel([
        { parts: 2, computeMs: 9 },
        { parts: 2, computeMs: 8 },
      ]),
    ).toBeNull()
  })
})
