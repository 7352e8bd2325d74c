import { EigenvalueDecomposition, Matrix } from 'ml-matrix'
import type { Moments } from './statistics.ts'

/**
 * Fréchet distance of two normal distributions (Dowson & Landau 1982; Heusel et al. 2017, eq. 6): |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ −
 * 2 tr (Σ₁ Σ₂)^½. The last trace is that of (Σ₁^½ Σ₂ Σ₁^½)^½, which is symmetric, so its eigenvalues are real.
 */
export function frechetDistance(first: Moments, second: Moments): number {
  const offset = first.mean.reduce((sum, value, index) => sum + (value - (second.mean[index] ?? 0)) ** 2, 0)
  const root = squareRoot(first.covariance)
  const between = symmetric(root.mmul(second.covariance).mmul(root))
  const cross = eigenvalues(between).reduce((sum, value) => sum + Math.sqrt(Math.max(0, value)), 0)
  return Math.max(0, offset + first.covariance.trace() + second.covariance.trace() - 2 * cross)
}

/** V diag(√λ) Vᵀ; eigenvalues that rounding has pushed below 0 are 0. */
function squareRoot(matrix: Matrix): Matrix {
  const { eigenvectorMatrix: vectors, realEigenvalues: values } = decompose(matrix)
  const scaled = vectors.clone()
  for (const [column, value] of values.entries()) scaled.mulColumn(column, Math.sqrt(Math.max(0, value)))
  return scaled.mmul(vectors.transpose())
}

const eigenvalues = (matrix: Matrix): number[] => decompose(matrix).realEigenvalues

const decompose = (matrix: Matrix) => new EigenvalueDecomposition(matrix, { assumeSymmetric: true })

const symmetric = (matrix: Matrix): Matrix => Matrix.add(matrix, matrix.transpose()).mul(0.5)
