import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bestDeal, slowestSeconds } from '../../coordinator/membership/best-deal.ts'
import { dealtLanes, evenDeal } from '../../shared/core/schedule.ts'

const seconds = fc.double({ min: 1e-6, max: 10, noNaN: true })
const pace = fc.record({ laneSeconds: seconds, fixedSeconds: fc.double({ min: 0, max: 1, noNaN: true }) })
const paces = fc.array(pace, { minLength: 1, maxLength: 12 })

describe('the best deal', () => {
  it('of any speeds has all lanes, each rank one at least, and no rank waits longer than with an even one', () => {
    fc.assert(
      fc.property(paces, fc.nat(50), (group, more) => {
        const lanes = group.length + more
        const deal = bestDeal(group, lanes)
        expect(deal.reduce((sum, own) => sum + own, 0)).toBe(lanes)
        expect(Math.min(...deal)).toBeGreaterThanOrEqual(1)
        expect(dealtLanes(deal, deal.length - 1).last).toBe(lanes)
        expect(slowestSeconds(deal, group)).toBeLessThanOrEqual(slowestSeconds(evenDeal(group.length, lanes), group))
      }),
    )
  })

  it('gives no fast rank fewer lanes than a slow one, and equal ranks as many, to within one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 1, maxLength: 12 }),
        fc.nat(50),
        (speeds, more) => {
          const deal = bestDeal(
            speeds.map((laneSeconds) => ({ laneSeconds, fixedSeconds: 7 })),
            speeds.length + more,
          )
          for (const [a, fast] of speeds.entries())
            for (const [b, slow] of speeds.entries()) {
              if (fast < slow) expect(deal[a]).toBeGreaterThanOrEqual(deal[b] ?? 0)
              if (fast === slow) expect(Math.abs((deal[a] ?? 0) - (deal[b] ?? 0))).toBeLessThanOrEqual(1)
            }
        },
      ),
    )
  })

  it('is what trying all of them finds', () => {
    const every = (ranks: number, lanes: number): number[][] =>
      ranks === 1
        ? [[lanes]]
        : Array.from({ length: lanes - ranks + 1 }, (_, own) => own + 1).flatMap((own) =>
            every(ranks - 1, lanes - own).map((rest) => [own, ...rest]),
          )
    fc.assert(
      fc.property(fc.array(pace, { minLength: 1, maxLength: 4 }), fc.nat(8), (group, more) => {
        const lanes = group.length + more
        const best = Math.min(...every(group.length, lanes).map((deal) => slowestSeconds(deal, group)))
        expect(slowestSeconds(bestDeal(group, lanes), group)).toBe(best)
      }),
    )
  })
})
