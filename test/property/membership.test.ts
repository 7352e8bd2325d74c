import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Goodput } from '../../coordinator/goodput/goodput.ts'
import type { MembershipEffect, MembershipEvent } from '../../coordinator/membership/events.ts'
import { decide } from '../../coordinator/membership/membership.ts'
import { initialMembership } from '../../coordinator/membership/state.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import type { LinkReport } from '../../shared/protocol/topology.ts'

const sumOf = (goodput: Goodput) => Object.values(goodput.seconds).reduce((sum, part) => sum + part, 0)

/** Of a worker whose clock stands still, jumps, and tells of more time than there was. */
function reported({ step }: { step: number }, pause: number): CommittedStep {
  const seconds = pause / 400
  return {
    ...{ step, epoch: 0, batches: [], images: 1, scalars: {}, skipped: false, time: (step * 7919) % 5000 },
    ...{ seconds, allReduceSeconds: seconds / 3, phaseSeconds: {}, allReduceBytes: 0 },
  }
}

describe('membership', () => {
  const workerId = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const generation = fc.integer({ min: 0, max: 4 })
  const step = fc.nat({ max: 20 })
  const state = fc.option(fc.record({ generation, step }))
  const reason = fc.string()
  const event: fc.Arbitrary<MembershipEvent> = fc.oneof(
    fc.record({ kind: fc.constant('hello' as const), workerId }),
    fc.record({
      ...{ kind: fc.constant('ready' as const), workerId, endpoint: fc.constant('tcp://x') },
      ...{ left: generation, state },
    }),
    fc.record({
      kind: fc.constant('joined' as const),
      workerId,
      generation,
      report: fc.record({ sameHost: fc.array(fc.nat(5)), links: fc.constant<LinkReport[]>([]) }),
    }),
    fc.record({ kind: fc.constant('heard' as const), workerId }),
    fc.record({
      kind: fc.constant('heartbeat' as const),
      workerId,
      generation,
      step,
      entered: step,
      reduced: step,
      fetched: step,
    }),
    fc.record({ kind: fc.constant('committed' as const), workerId, generation, step, seconds: fc.constant(0.1) }),
    fc.record({ kind: fc.constant('suspect' as const), workerId, generation, suspect: workerId, reason }),
    fc.record({ kind: fc.constant('halted' as const), workerId, generation, state, reason }),
    fc.record({ kind: fc.constant('finished' as const), workerId, generation, step, stopped: fc.boolean() }),
    fc.record({ kind: fc.constant('drain' as const), workerId, reason }),
    fc.record({
      ...{ kind: fc.constant('left' as const), workerId, loss: fc.constant('dead' as const) },
      ...{ certain: fc.boolean(), reason },
    }),
    fc.constant({ kind: 'stopRequested' as const }),
    fc.constant({ kind: 'pauseRequested' as const }),
    fc.constant({ kind: 'resumeRequested' as const }),
    fc.constant({ kind: 'checkpointRequested' as const }),
    fc.constant({ kind: 'slept' as const }),
    fc.constant({ kind: 'tick' as const }),
  )

  it('keeps its promises under any sequence of events, sensible or not, and no second of a worker is lost', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.tuple(event, fc.nat({ max: 1500 })), { maxLength: 120 }),
        (minWorkers, events) => {
          const options = { minWorkers, startWorkers: minWorkers, maxWorkers: 4, faultMs: 3000, orphanMs: 9000 }
          let state = initialMembership({ ...options, heartbeatMs: 250, hub: 'fall-back' })
          let now = 0
          const goodput = new Goodput(0)
          let presentMs = 0
          let accounted = 0
          const all: MembershipEffect[] = []
          for (const [next, pause] of events) {
            now += pause
            presentMs += pause * state.members.size
            const before = state
            const decision = decide(state, next, now)
            state = decision.state
            all.push(...decision.effects)
            goodput.follow(next, decision.effects, now)
            if (next.kind === 'committed') goodput.steps(next.workerId, next.generation, [reported(next, pause)])
            expect(Object.values(goodput.seconds).every((part) => part >= 0)).toBe(true)
            expect(sumOf(goodput)).toBeGreaterThanOrEqual(accounted - 1e-9)
            accounted = sumOf(goodput)
            expect(new Set(state.group).size).toBe(state.group.length)
            expect(state.members.size).toBeLessThanOrEqual(8)
            for (const effect of decision.effects) {
              if (before.phase === 'ended') expect(effect.kind).toBe('refuse')
              if (effect.kind !== 'form') continue
              expect(effect.generation).toBeGreaterThan(before.generation)
              const { group, source, state: chosen } = effect.quorum
              expect(group.length).toBeGreaterThanOrEqual(state.stopping ? 1 : minWorkers)
              expect(group.length).toBeLessThanOrEqual(4)
              expect(before.fenced || state.fenced || now >= before.fencedUntil).toBe(true)
              if (source !== null) expect(group[source]?.state).toEqual(chosen)
            }
          }
          goodput.end(now)
          expect(sumOf(goodput)).toBeCloseTo(presentMs / 1000, 6)
          const generations = all.flatMap((effect) => (effect.kind === 'form' ? [effect.generation] : []))
          expect(generations).toEqual([...new Set(generations)].sort((a, b) => a - b))
          expect(all.filter(({ kind }) => kind === 'end').length).toBeLessThanOrEqual(1)
        },
      ),
      { numRuns: 1000 },
    )
  })
})
