import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pipelineQuorum } from '../../coordinator/membership/pipeline-quorum.ts'
import { newMember } from '../../coordinator/membership/state.ts'
import type { StateIdentity } from '../../shared/protocol/control.ts'
import { Play } from '../support/play.ts'

/** Two stages. */
class Pipelines extends Play {
  constructor(startWorkers: number, maxWorkers = startWorkers, storedStep = 0) {
    super(startWorkers, { minWorkers: 2, maxWorkers, storedStep, stages: 2 })
  }

  /** A member of the group stops with its stage's state of this step, and can go back to the one before. */
  stops(workerId: string, step: number): this {
    const { generation, group } = this.state
    const held = { stage: group.indexOf(workerId) % 2, before: { generation, step: step - 1 } }
    const state = { generation, step }
    return this.on({ kind: 'halted', workerId, generation, state, held, reason: 'aborted' })
  }
}

describe('a group of pipelines', () => {
  it('has a whole number of them; who is left over waits until there are enough for another', () => {
    const play = new Pipelines(2, 4).ready('a').ready('b')
    expect(play.ranks).toEqual(['a', 'b'])
    play.joined().committed(1).take()
    expect(play.ready('c').take()).toEqual([])
    expect(play.ready('d').take()).toMatchObject([{ kind: 'pause', reason: 'c, d joins' }])
    play.stops('a', 5).stops('b', 5)
    expect(play.ranks).toEqual(['a', 'b', 'c', 'd'])
    expect(play.formed?.quorum).toMatchObject({ state: { generation: 1, step: 5 }, sources: [0, 1] })
  })

  it('goes on without a replica, from the others: no step is lost, and a worker that is too many waits', () => {
    const play = new Pipelines(4).ready('a').ready('b').ready('c').ready('d').joined().committed(7).left('b')
    play.stops('a', 7).stops('c', 7).stops('d', 7)
    expect(play.ranks).toEqual(['a', 'd']) // the stages that they have
    expect(play.formed?.quorum).toMatchObject({ state: { generation: 1, step: 7 }, sources: [0, 1] })
    play.joined().committed(8).take()
    expect(play.ready('b').take()).toMatchObject([{ kind: 'pause', reason: 'c, b joins' }])
  })

  it('goes back by the one step that not every stage has taken', () => {
    const play = new Pipelines(4).ready('a').ready('b').ready('c').ready('d').joined().committed(7).left('b')
    play.stops('a', 8).stops('c', 8).stops('d', 7)
    expect(play.formed?.quorum).toMatchObject({ state: { generation: 1, step: 7 }, sources: [0, 1] })
  })

  it('waits for a worker where a stage is lost, and goes back to the checkpoint', () => {
    const play = new Pipelines(2, 2).ready('a').ready('b').joined().committed(7)
    play.on({ kind: 'stored', step: 4 }).left('b').stops('a', 7)
    expect(play.effects.at(-1)).toMatchObject({ kind: 'waiting', ready: 1, wanted: 2 })
    play.ready('b')
    expect(play.ranks).toEqual(['a', 'b'])
    expect(play.formed?.quorum).toMatchObject({ state: { generation: 0, step: 4 }, source: null })
    expect(play.formed?.quorum.sources).toBeUndefined()
  })

  it('ends on request where a stage is missing, with what is stored', () => {
    const play = new Pipelines(2, 2).ready('a').ready('b').joined().committed(7).on({ kind: 'stopRequested' })
    play.left('b').stops('a', 7)
    expect(play.effects.at(-1)).toMatchObject({ kind: 'end', outcome: { status: 'interrupted' } })
  })

  it('expels a stage that does not go on while the one behind it waits, whichever of them has waited more often', () => {
    const play = new Pipelines(2, 2).ready('a').ready('b').joined().committed(1)
    const beat = (workerId: string, entered: number, reduced: number) =>
      play.on({ kind: 'heartbeat', workerId, generation: 1, step: 1, entered, reduced, fetched: 0 })
    beat('a', 9, 8)
    beat('b', 9, 9)
    for (let tick = 0; tick < 60; tick++) {
      play.after(100).on({ kind: 'tick' })
      beat('a', 9, 8)
      beat('b', 9, 9)
    }
    const lost = play.effects.filter(({ kind }) => kind === 'lost')
    expect(lost).toMatchObject([{ workerId: 'b', loss: { kind: 'stalled' } }])
  })
})

it('whoever comes and goes: a group has whole pipelines, and starts from a state that is to be had', () => {
  const identity = fc.record({ generation: fc.integer({ min: 1, max: 2 }), step: fc.integer({ min: 4, max: 6 }) })
  const optional = fc.option(identity)
  const worker = fc.record({
    stage: fc.integer({ min: 0, max: 2 }),
    state: optional,
    before: optional,
    fresh: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(worker, { minLength: 3, maxLength: 10 }), fc.integer({ min: 3, max: 9 }), (workers, most) => {
      const stages = 3
      const candidates = workers.map(({ stage, state, before, fresh }, index) => ({
        ...newMember(`w${index}`, 250, 0),
        ...(fresh ? {} : { state, held: { stage, before } }),
      }))
      const lastGroup = candidates.map(({ workerId }) => workerId)
      const question = { candidates, lastGroup, maxWorkers: most, storedStep: 5, reason: '' }
      const { group, state, source, sources } = pipelineQuorum(question, stages)
      expect(group).toHaveLength(Math.floor(Math.min(workers.length, most) / stages) * stages)
      expect(new Set(group.map(({ workerId }) => workerId)).size).toBe(group.length)
      const has = (at: number, wanted: StateIdentity) => {
        const { state: held, held: seat } = group[at] ?? {}
        return (
          seat?.stage === at % stages &&
          [held, seat.before].some((some) => some?.generation === wanted.generation && some.step === wanted.step)
        )
      }
      if (source === null) expect(state).toEqual({ generation: 0, step: 5 })
      else
        for (const [stage, rank] of (sources ?? []).entries())
          expect([rank % stages, has(rank, state)]).toEqual([stage, true])
    }),
  )
})
