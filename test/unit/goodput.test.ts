import { describe, expect, it } from 'vitest'
import { describeGoodput } from '../../cli/describe-goodput.ts'
import { Goodput } from '../../coordinator/goodput/goodput.ts'
import type { NotedGoodput } from '../../coordinator/goodput/parts.ts'
import type { MembershipEvent } from '../../coordinator/membership/events.ts'
import { decide } from '../../coordinator/membership/membership.ts'
import { initialMembership, type Membership } from '../../coordinator/membership/state.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'

/** A membership, and the ledger that follows it. Times in milliseconds. */
class Story {
  now = 0
  goodput = new Goodput(0)
  #membership: Membership
  /** By each worker's clock, which is far from the coordinator's. */
  readonly #clock = 5e12

  constructor(minWorkers = 1) {
    const times = { faultMs: 3000, orphanMs: 9000, heartbeatMs: 250 }
    this.#membership = initialMembership({ minWorkers, startWorkers: 2, maxWorkers: 4, hub: 'never', ...times })
  }

  get generation(): number {
    return this.#membership.generation
  }

  on(event: MembershipEvent): this {
    const { state, effects } = decide(this.#membership, event, this.now)
    this.#membership = state
    this.goodput.follow(event, effects, this.now)
    return this
  }

  /** Everybody answers meanwhile. */
  after(ms: number): this {
    for (const end = this.now + ms; this.now < end; ) {
      this.now = Math.min(end, this.now + 200)
      const beat = { generation: this.generation, step: 0, entered: 0, reduced: 0, fetched: 0 }
      for (const { workerId } of this.#membership.members.values()) this.on({ kind: 'heartbeat', workerId, ...beat })
    }
    return this.on({ kind: 'tick' })
  }

  hello(...workerIds: string[]): this {
    for (const workerId of workerIds) this.on({ kind: 'hello', workerId })
    return this
  }

  ready(...workerIds: string[]): this {
    for (const workerId of workerIds)
      this.on({ kind: 'ready', workerId, endpoint: `tcp://${workerId}`, left: 0, state: null })
    return this
  }

  joined(): this {
    const { generation, group } = this.#membership
    for (const workerId of group) this.on({ kind: 'joined', workerId, generation, report: { sameHost: [], links: [] } })
    return this
  }

  halted(step: number, ...workerIds: string[]): this {
    const { generation } = this.#membership
    const state = { generation, step }
    for (const workerId of workerIds) this.on({ kind: 'halted', workerId, generation, state, reason: 'told to' })
    return this
  }

  /** Steps of 100 ms, of which 30 in collectives, with 10 ms before each; `now` moves. */
  step(step: number, ...workerIds: string[]): this {
    this.after(110)
    for (const workerId of workerIds)
      this.goodput.steps(workerId, this.generation, [committed(step, this.#clock + this.now)])
    return this
  }
}

function committed(step: number, time: number): CommittedStep {
  return {
    ...{ step, epoch: 0, batches: [], images: 10, scalars: {}, skipped: false, time },
    ...{ seconds: 0.1, allReduceSeconds: 0.03, phaseSeconds: {}, allReduceBytes: 0 },
  }
}

const started = () => new Story().hello('a', 'b').after(2000).ready('a', 'b').after(50).joined()

describe('where the time of all workers went', () => {
  it('starting, computing, waiting for peers, and between steps', () => {
    const story = started()
    for (let step = 1; step <= 10; step++) story.step(step, 'a', 'b')
    story.goodput.end(story.now)
    const { seconds, workerSeconds, share } = story.goodput.figures
    expect(seconds).toEqual({
      ...{ useful: 1.4, waiting: 0.6, other: 0.2, starting: 4.1 },
      ...{ recomputed: 0, reforming: 0, paused: 0 },
    })
    expect(workerSeconds).toBeCloseTo(6.3, 9)
    expect(share).toBeCloseTo(1.4 / 6.3, 3)
  })

  it('a step that a failure throws away, waiting for the lost, forming again, and the newcomer', () => {
    const story = started().step(1, 'a', 'b').after(500)
    story.on({ kind: 'left', workerId: 'b', loss: 'dead', certain: true, reason: 'killed' })
    story.after(40).halted(1, 'a').after(60).joined()
    story.hello('b').after(1000)
    story.goodput.steps('a', story.generation, [committed(2, 0)])
    story.goodput.end(story.now)
    expect(story.goodput.figures.seconds).toEqual({
      ...{ starting: 4.1 + 1, useful: 0.21, waiting: 0.09 + 2 * 0.43, reforming: 0.1 },
      ...{ recomputed: 0.14, other: 0.02 + 0.9, paused: 0 },
    })
  })

  it('too few workers', () => {
    const story = new Story(2).hello('a', 'b').ready('a', 'b').joined().step(1, 'a', 'b')
    story.on({ kind: 'left', workerId: 'b', loss: 'dead', certain: true, reason: 'killed' })
    story.halted(1, 'a').after(3000).hello('b').after(1000).ready('b').after(20)
    const { seconds } = story.goodput.figures
    expect(seconds.paused).toBe(4)
    expect(seconds.reforming).toBe(0.02)
    expect(seconds.starting).toBe(1.02)
  })

  it('steps that were computed before are no progress', () => {
    const story = started().step(1, 'a', 'b').step(2, 'a', 'b').step(3, 'a', 'b')
    story.on({ kind: 'rollBack', step: 0, reason: 'it diverged' }).halted(3, 'a', 'b').joined()
    const before = story.goodput.figures.seconds
    story.step(1, 'a', 'b').step(2, 'a', 'b').step(3, 'a', 'b').step(4, 'a', 'b')
    const { seconds } = story.goodput.figures
    expect(seconds.recomputed - before.recomputed).toBeCloseTo(0.6, 9)
    expect(seconds.useful - before.useful).toBeCloseTo(0.14, 9)
  })

  it('goes on where the coordinator before this one stopped, and takes in what workers tell again', () => {
    const story = started().step(1, 'a', 'b').after(70)
    const noted: NotedGoodput = JSON.parse(JSON.stringify(story.goodput.noted))
    expect(noted.untoldSeconds).toBeCloseTo(0.14, 9)
    const now = story.now + 2000
    const next = new Goodput(now, noted, ['a', 'b'], story.generation)
    const retold = Array.from({ length: 18 }, (_, index) => committed(index + 2, 7e12 + 110 * index))
    for (const workerId of ['a', 'b']) {
      next.steps(workerId, story.generation, retold.slice(0, 9))
      next.steps(workerId, story.generation, retold.slice(9))
    }
    next.end(now)
    const { seconds, workerSeconds } = next.figures
    expect(workerSeconds).toBeCloseTo((2 * now) / 1000, 6)
    expect(seconds.useful).toBeCloseTo(2 * 0.07 * 19, 6)
    expect(seconds.waiting).toBeCloseTo(2 * 0.03 * 19, 6)
  })

  it('is no longer than the absence of a coordinator can be, whatever its clock says now', () => {
    const noted = { ...started().goodput.noted, at: 1000 }
    const next = new Goodput(1e12, noted, ['a', 'b'], 1)
    next.end(1e12)
    expect(next.figures.workerSeconds).toBeLessThan(noted.seconds.starting + 2 * 600 + 1)
  })

  it('is told in a line', () => {
    const story = started().step(1, 'a', 'b')
    expect(describeGoodput(story.goodput.figures)).toBe(
      'goodput: 3.2 % of 4.3 worker-seconds were useful; starting 94.9 %, waiting 1.4 %, other 0.5 %',
    )
    expect(describeGoodput(new Goodput(0).figures)).toBe('goodput: 0.0 % of 0.0 worker-seconds were useful')
  })
})
