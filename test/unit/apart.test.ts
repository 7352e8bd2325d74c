import { describe, expect, it } from 'vitest'
import { linkFailed, linksHold, type Pairs, withoutApart } from '../../coordinator/membership/apart.ts'
import { inheritedMembership, newMember } from '../../coordinator/membership/state.ts'
import { unknownTopology } from '../../shared/collective/topology.ts'
import { Play } from '../support/play.ts'

const members = ['a', 'b', 'c'].map((id) => newMember(id, 250, 0))
const chosen = (pairs: Pairs, now: number) => withoutApart(members, pairs, now).map(({ workerId }) => workerId)

describe('two that do not reach each other', () => {
  it('are kept apart after three generations without a step, both of them telling, and tried once more later', () => {
    let pairs: Pairs = new Map()
    for (const generation of [1, 2, 3])
      for (const [a, b] of [
        ['a', 'c'],
        ['c', 'a'],
      ] as const) {
        const failed = linkFailed(pairs, a, b, generation, 1000)
        expect(failed.apart).toBe(generation === 3 && a === 'a')
        pairs = failed.pairs
      }
    expect(chosen(pairs, 2000)).toEqual(['a', 'b'])
    pairs = linksHold(pairs, ['a', 'b'])
    expect(chosen(pairs, 400_000)).toEqual(['a', 'b', 'c'])
    expect(linkFailed(pairs, 'a', 'c', 9, 400_000).apart).toBe(true)
    expect(linkFailed(linksHold(pairs, ['a', 'b', 'c']), 'a', 'c', 9, 400_000).apart).toBe(false)
  })

  it('are not, where a step was committed in between', () => {
    let pairs: Pairs = new Map()
    for (const generation of [1, 2, 3, 4, 5]) pairs = linksHold(linkFailed(pairs, 'a', 'b', generation, 0).pairs, ['a'])
    expect(chosen(pairs, 1)).toEqual(['a', 'b', 'c'])
  })

  const failing = (workerIds: string[], hub: 'fall-back' | 'never') => {
    const play = new Play(workerIds.length, { hub })
    for (const workerId of workerIds) play.on({ kind: 'hello', workerId })
    for (const workerId of workerIds) play.ready(workerId)
    const [first = '', second = ''] = workerIds
    for (let attempt = 0; attempt < 3; attempt++) {
      const { generation } = play.joined().state
      play.on({ kind: 'suspect', workerId: first, suspect: second, generation, reason: 'the link is lost' })
      for (const workerId of play.state.group) play.halted(workerId, 0, generation)
    }
    return play
  }

  it('go on through the hub where leaving one out would leave no more than half', () => {
    const play = failing(['a', 'b'], 'fall-back')
    expect(play.effects.filter(({ kind }) => kind === 'lost')).toEqual([])
    expect(play.formed).toMatchObject({ generation: 4, hub: true })
    expect(play.ranks).toEqual(['a', 'b'])
    play.joined()
    expect(play.effects.at(-1)).toMatchObject({ kind: 'start', topology: { hub: true } })
    // A step says nothing about links that it did not use.
    play.committed(1).after(1000).ready('c').halted('a', 1).halted('b', 1)
    expect(play.formed).toMatchObject({ generation: 5, hub: true })
    // Later the links are tried once more, and at their first failure given up again.
    play.joined().after(300_000).committed(2)
    play.ready('d')
    for (const workerId of ['a', 'b', 'c']) play.halted(workerId, 2)
    expect(play.formed).toMatchObject({ generation: 6, hub: false })
  })

  it('are apart, one of them left out, where most are left, or where the algorithm is another one', () => {
    const most = failing(['a', 'b', 'c'], 'fall-back')
    expect(most.effects).toContainEqual(expect.objectContaining({ kind: 'lost', workerId: 'b' }))
    expect(most.formed).toMatchObject({ hub: false })
    expect(most.ranks).toEqual(['a', 'c'])
    const never = failing(['a', 'b'], 'never')
    expect(never.formed).toMatchObject({ hub: false })
    expect(never.ranks).toEqual(['a'])
  })

  it('stay on the hub when another coordinator takes over', () => {
    const options = { ...new Play(2, { hub: 'fall-back' }).state.options }
    const group = ['a', 'b'].map((workerId) => ({ workerId, endpoint: `tcp://${workerId}` }))
    const from = { generation: 4, storedStep: 0, started: true, state: { generation: 4, step: 9 }, group }
    const play = new Play(2)
    play.state = inheritedMembership(options, { ...from, topology: unknownTopology(2, true) }, 0)
    for (const workerId of ['a', 'b']) play.halted(workerId, 9, 4)
    expect(play.formed).toMatchObject({ generation: 5, hub: true, quorum: { state: { step: 9 } } })
  })
})
