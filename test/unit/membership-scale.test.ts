import { afterEach, expect, it, vi } from 'vitest'
import { Members } from '../../coordinator/membership/members.ts'
import { draws, randomStream } from '../../shared/core/random.ts'
import { Play } from '../support/play.ts'

afterEach(() => vi.restoreAllMocks())

/** Members that were looked at since the last call. */
function counted(): () => number {
  let looks = 0
  const { get, values } = Members.prototype
  vi.spyOn(Members.prototype, 'get').mockImplementation(function (this: Members, id) {
    looks++
    return get.call(this, id)
  })
  vi.spyOn(Members.prototype, 'values').mockImplementation(function (this: Members) {
    return new Proxy(values.call(this), {
      get(all, key) {
        if (/^\d+$/.test(String(key))) looks++
        return Reflect.get(all, key)
      },
    })
  })
  return () => {
    const before = looks
    looks = 0
    return before
  }
}

/** A group forms, steps, loses a third at once, goes on, and takes as many in: looks at members, per worker. */
function looksPerWorker(count: number): Record<string, number> {
  const next = draws(count, randomStream.faults, 0)
  const ids = Array.from({ length: count }, (_, index) => `worker-${index}`)
  const shuffled = (some: readonly string[]) =>
    some
      .map((id) => ({ id, at: next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ id }) => id)
  const play = new Play(count, { maxWorkers: count })
  const looks = counted()
  const found: Record<string, number> = {}
  const phase = (name: string, of: readonly string[], event: (id: string) => void) => {
    for (const id of shuffled(of)) event(id)
    found[name] = looks() / of.length
  }
  const report = { sameHost: [], links: [] }
  const join = (id: string) => play.on({ kind: 'joined', workerId: id, generation: play.state.generation, report })
  const halt = (id: string) => play.halted(id, 1)
  const ready = (id: string) =>
    play.on({ kind: 'ready', workerId: id, endpoint: 'tcp://x', left: play.state.generation - 1, state: null })
  const [lost, others] = [ids.slice(0, count / 3), ids.slice(count / 3)]
  phase('hello', ids, (workerId) => play.on({ kind: 'hello', workerId }))
  phase('ready', ids, ready)
  phase('joined', ids, join)
  phase('heartbeat', ids, (id) => play.heartbeat(id))
  phase('committed', ids, (id) => play.committed(1, id))
  phase('suspect', others, (workerId) =>
    play.on({ kind: 'suspect', workerId, generation: 1, suspect: lost[next() % lost.length] ?? '', reason: 'lost' }),
  )
  phase('left', lost, (id) => play.left(id))
  phase('halted', others, halt)
  expect(play.state).toMatchObject({ phase: 'forming', generation: 2 })
  expect(play.state.group).toHaveLength(others.length)
  phase('joined again', others, join)
  phase('hello again', lost, (workerId) => play.on({ kind: 'hello', workerId }))
  phase('ready again', lost, ready)
  phase('halted for those that join', others, halt)
  expect(play.state.group).toHaveLength(count)
  return found
}

it('what one worker costs the membership hardly grows with their number', () => {
  const few = looksPerWorker(96)
  vi.restoreAllMocks()
  const many = looksPerWorker(960)
  for (const [name, looks] of Object.entries(many)) {
    const ratio = looks / Math.max(1, few[name] ?? 0)
    // Only a loss makes a new list, which takes some microseconds.
    const most = name === 'left' ? 11 : 4
    expect(ratio, `${name}: ${few[name]} looks at 96 workers, ${looks} at 960`).toBeLessThan(most)
  }
})
