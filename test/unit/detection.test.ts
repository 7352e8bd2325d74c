import { describe, expect, it } from 'vitest'
import { backOffMs, noteLoss } from '../../coordinator/membership/back-off.ts'
import { arrival, firstArrival, phi, phiLimit } from '../../coordinator/membership/failure-detector.ts'
import { inheritedMembership } from '../../coordinator/membership/state.ts'
import { unknownTopology } from '../../shared/collective/topology.ts'
import { Play } from '../support/play.ts'

describe('detection', () => {
  it('silence expels within the fault time, and a coordinator that slept blames nobody', () => {
    const play = new Play(2).running('a', 'b')
    play.take()
    for (let time = 0; time < 1000; time += 250) play.after(250).heartbeat('a').heartbeat('b').on({ kind: 'tick' })
    for (let time = 0; time < 1400; time += 100) play.after(100).heartbeat('b').on({ kind: 'tick' })
    expect(play.effects).toEqual([])
    for (let time = 0; time < 1400; time += 100) play.after(100).heartbeat('b').on({ kind: 'tick' })
    expect(play.effects[0]).toMatchObject({ kind: 'lost', loss: { workerId: 'a', kind: 'silent' } })

    const slept = new Play(2).running('a', 'b')
    slept.take()
    slept.after(20_000).on({ kind: 'slept' }).on({ kind: 'tick' })
    expect(slept.effects).toEqual([])
  })

  it('members that are still to come back to a new coordinator keep their time when it was slow to start', () => {
    const play = new Play(2)
    const group = ['a', 'b'].map((workerId) => ({ workerId, endpoint: `tcp://${workerId}` }))
    const from = {
      generation: 4,
      storedStep: 0,
      started: true,
      state: { generation: 4, step: 9 },
      group,
      topology: unknownTopology(2),
    }
    play.state = inheritedMembership(play.state.options, from, play.now)
    play.after(1500).on({ kind: 'slept' })
    for (let time = 1500; time < 6400; time += 100) play.after(100).on({ kind: 'tick' })
    expect(play.effects).toEqual([])
    for (let time = 6400; time < 8000; time += 100) play.after(100).on({ kind: 'tick' })
    expect(play.take().map(({ kind }) => kind)).toEqual(['lost', 'abort', 'lost', 'waiting'])
  })

  it('a rank that lives but does not enter the collective in which the others wait is stalled', () => {
    const play = new Play(3).running('a', 'b', 'c')
    play.take()
    for (let time = 0; time < 3500; time += 100) {
      play.after(100).heartbeat('a', 4).heartbeat('b', 3).heartbeat('c', 4).on({ kind: 'tick' })
    }
    expect(play.effects[0]).toMatchObject({ kind: 'lost', loss: { workerId: 'b', kind: 'stalled' } })
  })

  it('ranks that wait for each other are not stalled for one that is a collective ahead', () => {
    const play = new Play(3).running('a', 'b', 'c')
    play.take()
    for (let time = 0; time < 5000; time += 100)
      play.after(100).heartbeat('a', 3, 2).heartbeat('b', 4, 3).heartbeat('c', 3, 2).on({ kind: 'tick' })
    expect(play.effects).toEqual([])
  })

  it('a long step of all is no stall', () => {
    const play = new Play(2).running('a', 'b')
    play.take()
    for (let time = 0; time < 20_000; time += 100) play.after(100).heartbeat('a').heartbeat('b').on({ kind: 'tick' })
    expect(play.effects).toEqual([])
  })

  it('where all wait for each other and nobody moves, the step is taken again, and nobody is blamed', () => {
    const play = new Play(2).running('a', 'b').committed(1)
    play.take()
    const wait = () => play.after(100).heartbeat('a', 3, 2).heartbeat('b', 3, 2).on({ kind: 'tick' })
    for (let time = 0; time < 5900; time += 100) wait()
    expect(play.effects).toEqual([])
    for (let time = 0; time < 400; time += 100) wait()
    expect(play.effects).toMatchObject([{ kind: 'abort', reason: 'nobody has moved for 6 s' }])
  })

  it('before a pause, only a rank that keeps the others waiting is to blame', () => {
    const play = new Play(3).running('a', 'b', 'c').committed(1).ready('d')
    expect(play.take().at(-1)).toMatchObject({ kind: 'pause' })
    for (let time = 0; time < 3500; time += 100)
      play.after(100).heartbeat('a', 4, 3).heartbeat('b', 3).heartbeat('c', 4, 3).heartbeat('d').on({ kind: 'tick' })
    const lost = play.effects.flatMap((effect) => (effect.kind === 'lost' ? [effect.workerId] : []))
    expect(lost).toEqual(['b'])
  })

  it('phi grows with the silence, and slower for one that was irregular before', () => {
    let regular = firstArrival(0, 250)
    let irregular = firstArrival(0, 250)
    let time = 0
    for (let beat = 0; beat < 100; beat++) {
      regular = arrival(regular, beat * 250)
      time += beat % 5 === 0 ? 1200 : 100
      irregular = arrival(irregular, time)
    }
    const phis = (ms: number) => [phi(regular, regular.last + ms), phi(irregular, irregular.last + ms)] as const
    expect(phis(200)[0]).toBeLessThan(1)
    expect(phis(1500)[0]).toBeGreaterThan(phiLimit)
    expect(phis(1500)[1]).toBeLessThan(phiLimit)
    for (let ms = 100; ms < 3000; ms += 100) expect(phis(ms + 100)[0]).toBeGreaterThanOrEqual(phis(ms)[0])
  })

  it('a worker that comes and goes waits longer each time', () => {
    let losses = noteLoss(undefined, 0)
    const waits: number[] = []
    for (let count = 1; count <= 10; count++) {
      waits.push(backOffMs(losses, count * 10))
      losses = noteLoss(losses, count * 10)
    }
    expect(waits).toEqual([0, 0, 0, 0, 0, 1000, 2000, 4000, 8000, 16_000])
    expect(backOffMs(losses, 100_000)).toBe(0)
  })

  it('but does not wait where nobody else holds the state', () => {
    const play = new Play(2, { storedStep: 5 }).running('a', 'b').committed(9)
    for (let time = 0; time < 6; time++) {
      play.left('a', false).halted('b', 9)
      play.on({ kind: 'hello', workerId: 'a' })
      play.on({ kind: 'ready', workerId: 'a', endpoint: 'tcp://a', left: 1, state: { generation: 1, step: 9 } })
      const { generation } = play.state
      for (const workerId of ['a', 'b'])
        play
          .on({ kind: 'joined', workerId, generation, report: { sameHost: [], links: [] } })
          .halted(workerId, 9, generation)
    }
    play.left('b')
    const { generation } = play.state
    for (const workerId of play.state.group)
      play.on({ kind: 'joined', workerId, generation, report: { sameHost: [], links: [] } })
    play.left('a', false).on({ kind: 'hello', workerId: 'a' })
    play.on({ kind: 'ready', workerId: 'a', endpoint: 'tcp://a', left: generation, state: { generation, step: 10 } })
    expect(play.formed).toMatchObject({ quorum: { state: { generation, step: 10 }, source: 0 } })
  })
})
