import { describe, expect, it } from 'vitest'
import { SlowLinks } from '../../coordinator/membership/slow-links.ts'
import type { Straggler } from '../../coordinator/membership/stragglers.ts'
import { PeerDelays } from '../../worker/peer-delays.ts'

type Waits = Readonly<Record<string, Readonly<Record<string, number>>>>

/** Each tells so many times how long it waits for each other one, in seconds. */
function told(links: SlowLinks, count: number, waits: Waits, compute: Readonly<Record<string, number>> = {}) {
  const changes: Straggler[] = []
  for (let report = 0; report < count; report++)
    for (const [reporter, others] of Object.entries(waits)) {
      const late = Object.entries(others).map(([workerId, seconds]) => ({ workerId, seconds }))
      const change = links.report(reporter, late, (workerId) => compute[workerId] ?? 0.01)
      if (change) changes.push(change)
    }
  return changes
}

const healthy: Waits = { a: { b: 0.004, c: 0.006 }, b: { a: 0.002, c: 0.005 }, c: { a: 0.003, b: 0.003 } }
/** `c` begins earlier, since what it sends last reaches the others late; so it waits longer for both of them alike. */
const slowLink: Waits = { a: { b: 0.004, c: 0.106 }, b: { a: 0.002, c: 0.105 }, c: { a: 0.103, b: 0.103 } }

describe('a worker whose link is slow', () => {
  it('is named once, and once more when it is over; nobody is where all links are alike', () => {
    const links = new SlowLinks()
    expect(told(links, 100, healthy)).toEqual([])
    expect(told(links, 100, slowLink)).toMatchObject([{ workerId: 'c', cause: 'network', slow: true }])
    expect([links.has('c'), links.workerIds]).toEqual([true, ['c']])
    expect(told(links, 100, healthy)).toMatchObject([{ workerId: 'c', cause: 'network', slow: false }])
    expect(links.workerIds).toEqual([])
  })

  it('is none that computes for longer by as much, nor one of two ends of the only link', () => {
    expect(told(new SlowLinks(), 100, slowLink, { c: 0.11 })).toEqual([])
    expect(told(new SlowLinks(), 100, { a: { b: 0.2 }, b: { a: 0.2 } })).toEqual([])
  })

  it('is forgotten when it leaves', () => {
    const links = new SlowLinks()
    told(links, 100, slowLink)
    links.formed(['a', 'b'])
    expect(links.workerIds).toEqual([])
  })
})

describe('how long a rank waits for another', () => {
  const clock = {
    time: 0,
    now: () => clock.time,
    wallTime: () => clock.time,
    sleep: () => Promise.resolve(),
    every: () => () => {},
  }
  const arrived = (delays: PeerDelays, step: number, bucket: number, sender: number, at: number) => {
    clock.time = at
    delays.arrived({ step, bucket, sender })
  }

  it('is until its last frame of a collective; of a step the longest counts, and the mean of steps is told', () => {
    const delays = new PeerDelays(clock)
    for (const [step, start] of [
      [0, 0],
      [1, 1000],
    ] as const) {
      clock.time = start
      delays.begin(step, 0)
      arrived(delays, step, 0, 1, start + 10)
      arrived(delays, step, 0, 1, start + 40 + step)
      arrived(delays, step, 0, 2, start + 5)
      delays.begin(step, 1)
      arrived(delays, step, 1, 2, start + 20 + step)
      arrived(delays, step - 1, 0, 2, start + 900)
    }
    clock.time = 2000
    delays.begin(2, 0)
    const [first, second, ...more] = delays.since()
    expect(more).toEqual([])
    expect(first?.rank).toBe(1)
    expect(first?.seconds).toBeCloseTo(0.0405, 9)
    expect(second?.seconds).toBeCloseTo(0.0155, 2)
    expect(delays.since()).toEqual([])
  })
})
