import { assert } from './errors.ts'

/**
 * Coefficients c that make Σ (y_i − Σ_j c_j x_ij)² smallest, by the normal equations XᵀX c = Xᵀy and Gaussian elimination
 * with pivots: for few, well separated columns. Null where the rows do not determine them.
 */
export function leastSquares(rows: readonly (readonly number[])[], values: readonly number[]): number[] | null {
  assert(rows.length === values.length, 'there is a value for each row')
  const columns = rows[0]?.length ?? 0
  const product = (a: (row: number) => number, b: (row: number) => number) =>
    rows.reduce((sum, _, row) => sum + a(row) * b(row), 0)
  const column = (index: number) => (row: number) => rows[row]?.[index] ?? 0
  const system = Array.from({ length: columns }, (_, i) => [
    ...Array.from({ length: columns }, (_, j) => product(column(i), column(j))),
    product(column(i), (row) => values[row] ?? 0),
  ])
  return solve(system)
}

/** Of a system [A | b], changed in place. */
function solve(system: number[][]): number[] | null {
  const size = system.length
  const largest = Math.max(...system.flatMap((row) => row.slice(0, size)).map(Math.abs))
  for (let at = 0; at < size; at++) {
    const pivot = system
      .slice(at)
      .reduce((best, row) => (Math.abs(row[at] ?? 0) > Math.abs(best[at] ?? 0) ? row : best))
    if (!(Math.abs(pivot[at] ?? 0) > 1e-12 * largest)) return null
    system.splice(system.indexOf(pivot), 1)
    system.splice(at, 0, pivot)
    for (const [index, row] of system.entries()) {
      if (index === at) continue
      const factor = (row[at] ?? 0) / (pivot[at] ?? 1)
      for (let k = at; k <= size; k++) row[k] = (row[k] ?? 0) - factor * (pivot[k] ?? 0)
    }
  }
  return system.map((row, index) => (row[size] ?? 0) / (row[index] ?? 1))
}
