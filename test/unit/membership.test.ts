import { describe, expect, it } from 'vitest'
import { Play } from '../support/play.ts'

describe('membership', () => {
  it('forms a group in the order of names once enough are ready, and starts when all have joined', () => {
    const play = new Play(2).ready('w10').ready('w9')
    expect(play.ranks).toEqual(['w9', 'w10'])
    expect(play.formed).toMatchObject({ generation: 1, quorum: { state: { generation: 0, step: 0 }, source: null } })
    play.on({ kind: 'joined', workerId: 'w9', generation: 1, report: { sameHost: [], links: [] } })
    expect(play.state.phase).toBe('forming')
    play
      .on({ kind: 'joined', workerId: 'w10', generation: 0, report: { sameHost: [], links: [] } })
      .on({ kind: 'joined', workerId: 'w10', generation: 1, report: { sameHost: [], links: [] } })
    expect(play.effects.at(-1)).toMatchObject({ kind: 'start', generation: 1, group: ['w9', 'w10'] })
  })

  it('waits for those that have said hello, unless they go', () => {
    const play = new Play(1).on({ kind: 'hello', workerId: 'slow' }).ready('quick')
    expect(play.take()).toEqual([])
    expect(play.left('slow').ranks).toEqual(['quick'])
  })

  it('a lost worker: abort for all, and the survivors form once each has halted, from the furthest step', () => {
    const play = new Play(3).running('a', 'b', 'c').committed(7, 'b')
    play.take()
    play.left('a')
    expect(play.take()).toMatchObject([
      { kind: 'lost', workerId: 'a', wasMember: true },
      { kind: 'abort', generation: 1, workerIds: ['b', 'c'], reason: 'a is lost: ended by SIGKILL' },
    ])
    play.halted('b', 7)
    expect(play.take()).toEqual([])
    play.halted('c', 6)
    expect(play.formed).toMatchObject({ generation: 2, quorum: { state: { generation: 1, step: 7 } } })
    const { quorum } = play.formed ?? {}
    expect(quorum?.group[quorum.source ?? -1]?.workerId).toBe('b')
  })

  it('a broken link aborts every rank at once; nobody is expelled for it', () => {
    const play = new Play(2).running('a', 'b')
    play.take()
    play.on({ kind: 'suspect', workerId: 'a', generation: 1, suspect: 'b', reason: 'the link to b is lost' })
    expect(play.take()).toMatchObject([{ kind: 'abort', workerIds: ['a', 'b'] }])
    expect(play.halted('a', 1).halted('b', 1).ranks).toEqual(['a', 'b'])
  })

  it('ranks stay where they are; a newcomer takes the free one', () => {
    const play = new Play(3).running('a', 'b', 'c').left('a').halted('b', 1).halted('c', 1)
    expect(play.ranks).toEqual(['c', 'b'])
    play.joined().ready('a')
    expect(play.effects.at(-1)).toMatchObject({ kind: 'pause', workerIds: ['c', 'b'], reason: 'a joins' })
    play.halted('b', 9).halted('c', 9)
    expect(play.ranks).toEqual(['c', 'b', 'a'])
    expect(play.formed?.quorum.state).toEqual({ generation: 2, step: 9 })
  })

  it('below the minimum the run pauses, keeps its state, and goes on when somebody comes', () => {
    const play = new Play(2, { minWorkers: 2 }).running('a', 'b').left('b').halted('a', 5)
    expect(play.effects.at(-1)).toMatchObject({ kind: 'waiting', ready: 1, wanted: 2 })
    play.take()
    play.ready('c')
    expect(play.ranks).toEqual(['a', 'c'])
    expect(play.formed?.quorum).toMatchObject({ state: { generation: 1, step: 5 }, source: 0 })
  })

  it('nobody left: back to the checkpoint, at once where all are known to have ended', () => {
    const play = new Play(2).running('a', 'b').on({ kind: 'stored', step: 4 }).committed(6).left('a').left('b')
    expect(play.ready('c').formed?.quorum).toMatchObject({ state: { generation: 0, step: 4 }, source: null })
  })

  it('never a second group: without a member of the last one it waits until that has stopped for sure', () => {
    const play = new Play(2).running('a', 'b').left('a', false).left('b', false)
    play.take()
    play.ready('c')
    expect(play.formed).toBeUndefined()
    play.after(59_900).on({ kind: 'heard', workerId: 'c' }).on({ kind: 'tick' })
    expect(play.formed).toBeUndefined()
    play.after(200).on({ kind: 'tick' })
    expect(play.ranks).toEqual(['c'])
  })

  it('one that comes back having left the last generation is proof enough', () => {
    const play = new Play(1).running('a').committed(8).left('a', false)
    play.take()
    play.ready('a', { generation: 1, step: 8 }, 1)
    expect(play.formed?.quorum).toMatchObject({ state: { generation: 1, step: 8 }, source: 0 })
  })

  it('does not go back while one that holds a later step may come back', () => {
    const play = new Play(2).running('a', 'b').committed(9, 'b').left('b', false).halted('a', 8)
    expect(play.effects.at(-1)).toMatchObject({
      kind: 'waiting',
      reason: 'the state of step 9 is with b, out of sight',
    })
    expect(play.left('b').formed?.quorum.state).toEqual({ generation: 1, step: 8 })
  })

  it('a state of an older generation is behind, however many steps it counts', () => {
    const play = new Play(2).running('a', 'b').left('b', false).halted('a', 5).joined().committed(6)
    play.ready('b', { generation: 1, step: 90 }, 1).halted('a', 6)
    expect(play.formed?.quorum).toMatchObject({ state: { generation: 2, step: 6 }, source: 0 })
  })

  it('a worker that drains leaves at a step boundary, and the others go on', () => {
    const play = new Play(2).running('a', 'b')
    play.take()
    play.on({ kind: 'drain', workerId: 'a', reason: 'SIGTERM' })
    expect(play.take()).toMatchObject([{ kind: 'pause', workerIds: ['a', 'b'] }])
    play.halted('a', 3).halted('b', 3)
    expect(play.effects[0]).toEqual({ kind: 'released', workerId: 'a', reason: 'drained' })
    expect(play.ranks).toEqual(['b'])
  })

  it('a worker that drains while its group forms leaves as soon as that has started', () => {
    const play = new Play(2).ready('a').ready('b').on({ kind: 'drain', workerId: 'a', reason: 'SIGTERM' })
    play.take()
    play.joined()
    expect(play.effects).toMatchObject([{ kind: 'start' }, { kind: 'pause', reason: 'a leaves' }])
  })

  it('ends as completed when all have finished, as interrupted when they were asked to stop', () => {
    for (const stopped of [false, true]) {
      const play = new Play(2).running('a', 'b')
      if (stopped) play.on({ kind: 'stopRequested' })
      play.on({ kind: 'finished', workerId: 'a', generation: 1, step: 9, stopped })
      expect(play.state.phase).toBe('running')
      play.on({ kind: 'finished', workerId: 'b', generation: 1, step: 9, stopped })
      const status = stopped ? 'interrupted' : 'completed'
      expect(play.effects.at(-1)).toMatchObject({ kind: 'end', outcome: { status } })
    }
  })

  it('ends at once when it is stopped before a group has formed', () => {
    expect(new Play(2).ready('a').on({ kind: 'stopRequested' }).effects.at(-1)).toMatchObject({
      kind: 'end',
      outcome: { status: 'interrupted' },
    })
  })

  it('refuses one too many, and everybody once the run is over', () => {
    const full = new Play(1, { maxWorkers: 1 })
    for (const workerId of ['a', 'b', 'c']) full.on({ kind: 'hello', workerId })
    expect(full.effects).toMatchObject([{ kind: 'refuse', workerId: 'c', code: 'run-full' }])
    const over = new Play(2).on({ kind: 'stopRequested' }).on({ kind: 'hello', workerId: 'a' })
    expect(over.effects.at(-1)).toMatchObject({ kind: 'refuse', code: 'run-over' })
  })

  it('forms again with what it holds where something about the run has changed', () => {
    const play = new Play(2).running('a', 'b').committed(9)
    play.on({ kind: 'reform', reason: 'lower rates' })
    expect(play.effects.at(-1)).toMatchObject({ kind: 'pause', generation: 1, reason: 'lower rates' })
    const told = play.effects.length
    play.on({ kind: 'reform', reason: 'lower rates' })
    expect(play.effects).toHaveLength(told)
    play.halted('a', 10).halted('b', 10)
    expect(play.formed).toMatchObject({ generation: 2, quorum: { state: { generation: 1, step: 10 } } })
  })

  it('rolls back to a checkpoint, whatever anybody holds, and what comes back from before is void', () => {
    const play = new Play(2).running('a', 'b').committed(9)
    play.on({ kind: 'rollBack', step: 4, reason: 'steps were skipped' })
    expect(play.effects.at(-1)).toMatchObject({ kind: 'abort', generation: 1, workerIds: ['a', 'b'] })
    play.halted('a', 9).halted('b', 9)
    expect(play.formed).toMatchObject({ generation: 2, quorum: { state: { generation: 0, step: 4 }, source: null } })
    const late = { kind: 'ready', endpoint: 'tcp://c', left: 1, state: { generation: 1, step: 9 } } as const
    play.on({ kind: 'hello', workerId: 'c' }).on({ ...late, workerId: 'c' })
    for (const workerId of ['a', 'b'])
      play.on({ kind: 'joined', workerId, generation: 2, report: { sameHost: [], links: [] } })
    play.on({ kind: 'halted', workerId: 'a', generation: 2, state: { generation: 0, step: 4 }, reason: 'paused' })
    play.on({ kind: 'halted', workerId: 'b', generation: 2, state: { generation: 0, step: 4 }, reason: 'paused' })
    expect(play.formed).toMatchObject({ generation: 3, quorum: { state: { step: 4 } } })
  })
})
