import { describe, expect, it } from 'vitest'
import {
  decide,
  initialMembership,
  type Membership,
  type MembershipEffect,
  type MembershipEvent,
} from '../../coordinator/membership/membership.ts'

/** Plays events through the pure core and keeps what it wants done. */
class Play {
  state: Membership
  effects: MembershipEffect[] = []
  now = 0

  constructor(minWorkers: number, maxWorkers = 8) {
    this.state = initialMembership({ minWorkers, maxWorkers, silenceMs: 3000 })
  }

  on(event: MembershipEvent): this {
    const { state, effects } = decide(this.state, event, this.now)
    this.state = state
    this.effects = [...this.effects, ...effects]
    return this
  }

  after(ms: number): this {
    this.now += ms
    return this
  }

  ready(...workerIds: string[]): this {
    for (const workerId of workerIds) this.on({ kind: 'hello', workerId })
    for (const workerId of workerIds) this.on({ kind: 'ready', workerId, endpoint: `tcp://${workerId}`, step: 0 })
    return this
  }

  running(...workerIds: string[]): this {
    this.ready(...workerIds)
    for (const workerId of workerIds) this.on({ kind: 'joined', workerId, generation: 1 })
    return this
  }

  get kinds(): string[] {
    return this.effects.map(({ kind }) => kind)
  }
}

describe('membership', () => {
  it('forms a group in the order of names once enough are ready, and starts when all have joined', () => {
    const play = new Play(2).ready('w10', 'w9')
    expect(play.effects).toMatchObject([
      {
        kind: 'form',
        generation: 1,
        step: 0,
        group: [{ workerId: 'w9' }, { workerId: 'w10' }],
        reason: '2 ready, 2 wanted',
      },
    ])
    play.on({ kind: 'joined', workerId: 'w9', generation: 1 })
    expect(play.kinds).toEqual(['form'])
    play.on({ kind: 'joined', workerId: 'w10', generation: 0 }).on({ kind: 'joined', workerId: 'w10', generation: 1 })
    expect(play.kinds).toEqual(['form', 'start'])
  })

  it('waits for those that have said hello, unless they go', () => {
    const play = new Play(1).on({ kind: 'hello', workerId: 'slow' }).ready('quick')
    expect(play.kinds).toEqual([])
    play.on({ kind: 'left', workerId: 'slow', reason: 'gone' })
    expect(play.kinds).toEqual(['form'])
  })

  it('refuses one too many, and one that comes when the run has started', () => {
    const full = new Play(3, 2)
      .on({ kind: 'hello', workerId: 'a' })
      .on({ kind: 'hello', workerId: 'b' })
      .on({ kind: 'hello', workerId: 'c' })
    expect(full.effects).toMatchObject([{ kind: 'refuse', workerId: 'c', code: 'run-full' }])
    const late = new Play(1).running('a').on({ kind: 'hello', workerId: 'b' })
    expect(late.effects.at(-1)).toMatchObject({ kind: 'refuse', workerId: 'b', code: 'run-closed' })
    expect([...late.state.members.keys()]).toEqual(['a'])
  })

  it('ends as completed when all have finished, as interrupted when they were asked to stop', () => {
    for (const stopped of [false, true]) {
      const play = new Play(2).running('a', 'b')
      if (stopped) play.on({ kind: 'stopRequested' })
      play.on({ kind: 'finished', workerId: 'a', generation: 1, step: 9, stopped })
      expect(play.kinds).not.toContain('end')
      play.on({ kind: 'finished', workerId: 'b', generation: 1, step: 9, stopped })
      expect(play.effects.at(-1)).toMatchObject({
        kind: 'end',
        outcome: { status: stopped ? 'interrupted' : 'completed' },
      })
    }
  })

  it('ends at once when it is stopped before a group has formed', () => {
    expect(new Play(2).ready('a').on({ kind: 'stopRequested' }).effects).toMatchObject([
      { kind: 'end', outcome: { status: 'interrupted' } },
    ])
  })

  it('a member that leaves: the survivors are told, and the one furthest ahead saves its state', () => {
    const play = new Play(3)
      .running('a', 'b', 'c')
      .on({ kind: 'heard', workerId: 'b', step: 7 })
      .on({ kind: 'heard', workerId: 'c', step: 6 })
    play.effects = []
    play.after(100).on({ kind: 'left', workerId: 'a', reason: 'ended by SIGKILL' })
    expect(play.effects).toMatchObject([
      { kind: 'lost', workerId: 'a', detectMs: 100, reason: 'worker a is lost: ended by SIGKILL' },
      { kind: 'abort', generation: 1, workerIds: ['b', 'c'] },
      { kind: 'salvage', workerId: 'b', step: 7 },
    ])
    expect(play.state).toMatchObject({ phase: 'ending', outcome: { status: 'failed' } })
  })

  it('the last member that leaves ends the run', () => {
    expect(new Play(1).running('a').on({ kind: 'left', workerId: 'a', reason: 'gone' }).kinds.slice(-2)).toEqual([
      'lost',
      'end',
    ])
  })

  it('silence is a loss after three seconds, not before', () => {
    const play = new Play(2)
      .running('a', 'b')
      .after(2900)
      .on({ kind: 'heard', workerId: 'b', step: 1 })
      .on({ kind: 'tick' })
    expect(play.kinds).not.toContain('lost')
    play.after(200).on({ kind: 'tick' })
    expect(play.effects).toContainEqual(
      expect.objectContaining({ kind: 'lost', workerId: 'a', reason: 'worker a is lost: silent for 3.1 s' }),
    )
  })

  it('a failed collective aborts the others, and ends the run when nobody turns out to be missing', () => {
    const play = new Play(2)
      .running('a', 'b')
      .on({ kind: 'failed', workerId: 'a', generation: 1, step: 3, reason: 'the link to rank 1 is lost' })
    expect(play.effects.at(-1)).toMatchObject({ kind: 'abort', workerIds: ['b'] })
    for (let second = 0; second < 7; second++) {
      play.after(1000)
      for (const workerId of ['a', 'b']) play.on({ kind: 'heard', workerId, step: 3 })
      play.on({ kind: 'tick' })
    }
    expect(play.effects.at(-1)).toMatchObject({ kind: 'salvage', step: 3 })
    expect(play.state.outcome?.reason).toBe(
      'the collective failed with every worker alive: a: the link to rank 1 is lost',
    )
  })

  it('replicas that differ end the run', () => {
    expect(
      new Play(1).running('a').on({ kind: 'diverged', step: 4, reason: 'replicas differ' }).effects.at(-1),
    ).toEqual({ kind: 'end', outcome: { status: 'failed', reason: 'replicas differ' } })
  })
})
