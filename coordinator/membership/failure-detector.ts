/**
 * Phi accrual failure detector (Hayashibara et al., SRDS 2004): how surprising a silence is, given how regularly a worker
 * was heard before. Pure; times in milliseconds.
 */
export interface Arrivals {
  readonly last: number
  /** Exponentially weighted mean and variance of the intervals. */
  readonly mean: number
  readonly variance: number
}

const weight = 0.1
/** Two cores may be busy for a while; jitter below this is no sign of anything. */
const minimumDeviationMs = 150
export const phiLimit = 12

export function firstArrival(now: number, intervalMs: number): Arrivals {
  return { last: now, mean: intervalMs, variance: (intervalMs / 2) ** 2 }
}

export function arrival(before: Arrivals, now: number): Arrivals {
  const difference = now - before.last - before.mean
  return {
    last: now,
    mean: before.mean + weight * difference,
    variance: (1 - weight) * (before.variance + weight * difference * difference),
  }
}

/** −log10 of the probability that the next word comes later than now, for normally distributed intervals. */
export function phi(arrivals: Arrivals, now: number): number {
  const deviation = Math.max(Math.sqrt(arrivals.variance), minimumDeviationMs)
  const y = (now - arrivals.last - arrivals.mean) / deviation
  // Logistic approximation of the normal tail (Bowling et al. 2009), as Akka's detector has it.
  const exponent = Math.exp(-y * (1.5976 + 0.070566 * y * y))
  return y > 0 ? -Math.log10(exponent / (1 + exponent)) : -Math.log10(1 - 1 / (1 + exponent))
}
