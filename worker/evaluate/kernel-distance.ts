import { permutation } from '../../shared/core/random.ts'
import type { Products } from './products.ts'
import { type Features, rowsOf } from './statistics.ts'

export interface KernelDistance {
  readonly mean: number
  /** Standard deviation over the subsets. */
  readonly deviation: number
}

const subsets = 50
const subsetRows = 1000

/**
 * Kernel Inception Distance (Bińkowski et al. 2018, section 4): the unbiased estimate of the squared maximum mean discrepancy
 * with k(x, y) = (x · y / d + 1)³, averaged over 50 subsets of up to 1,000 rows each. It may be a little below 0.
 */
export async function kernelDistance(
  products: Products,
  real: Features,
  fake: Features,
  seed: number,
): Promise<KernelDistance> {
  const values: number[] = []
  for (let subset = 0; subset < subsets; subset++) {
    const pick = (from: Features, stream: number) =>
      rowsOf(from, permutation(seed, 2 * subset + stream, from.rows).subarray(0, subsetRows))
    values.push(await squaredDiscrepancy(products, pick(real, 0), pick(fake, 1)))
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
  return { mean, deviation }
}

/** Gretton et al. 2012, eq. 3. */
export async function squaredDiscrepancy(products: Products, x: Features, y: Features): Promise<number> {
  const within = async (a: Features) =>
    sumOfKernel(await products(a, a), a.rows, a.columns, true) / (a.rows * (a.rows - 1))
  const between = sumOfKernel(await products(x, y), y.rows, x.columns, false) / (x.rows * y.rows)
  return (await within(x)) + (await within(y)) - 2 * between
}

function sumOfKernel(products: Float32Array, columns: number, size: number, withoutDiagonal: boolean): number {
  let sum = 0
  for (let at = 0; at < products.length; at++) {
    const base = (products[at] ?? 0) / size + 1
    if (!withoutDiagonal || at % (columns + 1) !== 0) sum += base * base * base
  }
  return sum
}
