/** How often a worker was lost lately. */
export interface Losses {
  readonly count: number
  readonly last: number
}

const forgetMs = 60_000
const free = 5
const maximumMs = 30_000

export function noteLoss(before: Losses | undefined, now: number): Losses {
  return { count: before && now - before.last < forgetMs ? before.count + 1 : 1, last: now }
}

/**
 * A worker that comes and goes waits longer each time before it is let in again, so that it cannot keep the others from
 * stepping: 1, 2, 4 … 30 s from the sixth loss on; a minute without a loss clears it.
 */
export function backOffMs(losses: Losses | undefined, now: number): number {
  if (!losses || losses.count <= free || now - losses.last >= forgetMs) return 0
  return Math.min(maximumMs, 1000 * 2 ** (losses.count - free - 1))
}
