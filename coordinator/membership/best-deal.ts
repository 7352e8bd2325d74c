import { assert } from '../../shared/core/errors.ts'
import type { LaneDeal } from '../../shared/core/schedule.ts'

/** How long a rank computes in a step: for each lane that it has, and besides, however many it has. */
export interface LanePace {
  readonly laneSeconds: number
  readonly fixedSeconds: number
}

/** Seconds that the slowest rank computes in a step: the others wait for it. */
export function slowestSeconds(deal: LaneDeal, paces: readonly LanePace[]): number {
  return Math.max(...paces.map((pace, rank) => seconds(pace, deal[rank] ?? 0)))
}

/**
 * The deal of so many lanes with which the slowest rank is done first, each rank having one at least: min over n of max over r of
 * fᵣ + nᵣ·aᵣ, where Σ nᵣ = L. A lane after the other goes to the rank that is done first with it, of equals to the lower one; since no rank gets
 * faster by a lane more, no other deal is better (Fox 1966, "Discrete optimization via marginal analysis"). Where the fᵣ are small, nᵣ
 * comes to L · (1/aᵣ) / Σ 1/a: in proportion to the speed.
 */
export function bestDeal(paces: readonly LanePace[], lanes: number): LaneDeal {
  assert(lanes >= paces.length, 'there is a lane for each rank')
  const deal = paces.map(() => 1)
  const next = paces.map((pace) => seconds(pace, 2))
  for (let left = lanes - paces.length; left > 0; left--) {
    let first = 0
    for (let rank = 1; rank < next.length; rank++) if ((next[rank] ?? 0) < (next[first] ?? 0)) first = rank
    const has = (deal[first] ?? 0) + 1
    deal[first] = has
    next[first] = seconds(paces[first] as LanePace, has + 1)
  }
  return deal
}

const seconds = ({ laneSeconds, fixedSeconds }: LanePace, lanes: number): number => fixedSeconds + lanes * laneSeconds
