import { leastSquares } from './least-squares.ts'

/**
 * Coefficients c ≥ 0 that make Σ (y_i − Σ_j c_j x_ij)² smallest, for the few columns that a model of times has: of all sets of
 * columns, the one that does best with the others at 0, where its own coefficients are not negative (Lawson & Hanson 1974, chapter
 * 23, without the search). All are 0 where nothing else is determined.
 */
export function nonNegativeLeastSquares(rows: readonly (readonly number[])[], values: readonly number[]): number[] {
  const columns = rows[0]?.length ?? 0
  const error = (coefficients: readonly number[]) =>
    rows.reduce((sum, row, i) => {
      const told = row.reduce((y, x, j) => y + x * (coefficients[j] ?? 0), 0)
      return sum + (told - (values[i] ?? 0)) ** 2
    }, 0)
  let best = new Array<number>(columns).fill(0)
  let least = error(best)
  for (let set = 1; set < 2 ** columns; set++) {
    const chosen = [...best.keys()].filter((column) => set & (1 << column))
    const found = leastSquares(
      rows.map((row) => chosen.map((column) => row[column] ?? 0)),
      values,
    )
    if (!found || found.some((coefficient) => coefficient < 0)) continue
    const whole = best.map(() => 0)
    for (const [index, column] of chosen.entries()) whole[column] = found[index] ?? 0
    const distance = error(whole)
    if (distance >= least) continue
    best = whole
    least = distance
  }
  return best
}
