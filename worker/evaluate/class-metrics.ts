import type { Features } from './statistics.ts'

export interface ClassMetrics {
  /** exp of the mean KL(p(y|x) ‖ p(y)) (Salimans et al. 2016, section 4), over all samples at once; from 1 to the classes. */
  readonly score: number
  /** Samples of each class, by the largest probability. */
  readonly histogram: readonly number[]
  /** Classes with at least one sample in a hundred; of more than a hundred classes, with one sample at least (Lin et al. 2018, section 4.2). */
  readonly modes: number
}

/** `probabilities` [rows, classes]. */
export function classMetrics({ values, rows, columns }: Features): ClassMetrics {
  const histogram = new Array<number>(columns).fill(0)
  const marginal = new Float64Array(columns)
  let negativeEntropy = 0 // Σ p(y|x) log p(y|x)
  for (let row = 0; row < rows; row++) {
    let best = 0
    for (let column = 0; column < columns; column++) {
      const p = values[row * columns + column] ?? 0
      if (p > (values[row * columns + best] ?? 0)) best = column
      marginal[column] = (marginal[column] ?? 0) + p / rows
      negativeEntropy += p > 0 ? (p * Math.log(p)) / rows : 0
    }
    histogram[best] = (histogram[best] ?? 0) + 1
  }
  const marginalEntropy = -marginal.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0)
  return {
    score: Math.exp(negativeEntropy + marginalEntropy),
    histogram,
    modes: histogram.filter((count) => count >= (columns > 100 ? 1 : rows / 100)).length,
  }
}

/** KL divergence in nats of a histogram from another one that is nowhere 0. */
export function histogramDivergence(histogram: readonly number[], reference: readonly number[]): number {
  const [total, all] = [histogram, reference].map((counts) => counts.reduce((sum, count) => sum + count, 0))
  return histogram.reduce((sum, count, index) => {
    const p = count / (total ?? 1)
    return sum + (p > 0 ? p * Math.log(p / ((reference[index] ?? 0) / (all ?? 1))) : 0)
  }, 0)
}
