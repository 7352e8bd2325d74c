import { describe, expect, it } from 'vitest'
import { noLoad, type StepLoad, slowCause } from '../../coordinator/membership/slow-cause.ts'
import { type Straggler, Stragglers } from '../../coordinator/membership/stragglers.ts'

function steps(stragglers: Stragglers, count: number, seconds: Readonly<Record<string, number>>): Straggler[] {
  const told: Straggler[] = []
  for (let step = 0; step < count; step++)
    for (const [workerId, time] of Object.entries(seconds)) {
      const straggler = stragglers.report(workerId, time)
      if (straggler) told.push(straggler)
    }
  return told
}

describe('a worker that computes for longer than the others', () => {
  it('is named once, and once more when it is over', () => {
    const stragglers = new Stragglers()
    expect(steps(stragglers, 30, { a: 0.05, b: 0.06, c: 0.055 })).toEqual([])
    expect(steps(stragglers, 30, { a: 0.05, b: 0.06, c: 0.2 })).toMatchObject([{ workerId: 'c', slow: true }])
    expect(steps(stragglers, 30, { a: 0.05, b: 0.06, c: 0.055 })).toMatchObject([{ workerId: 'c', slow: false }])
  })

  it('is found among two as well, and not blamed for a single long step or for noise', () => {
    const two = new Stragglers()
    expect(steps(two, 30, { a: 0.05, b: 0.15 })).toMatchObject([{ workerId: 'b', slow: true, ratio: 3 }])
    const one = new Stragglers()
    steps(one, 30, { a: 0.05, b: 0.05 })
    expect(one.report('b', 0.25)).toBeNull()
    one.formed(['a', 'b'])
    expect(steps(one, 3, { a: 0.05, b: 0.5 })).toEqual([])
    expect(steps(one, 30, { a: 0.05, b: 0.05 })).toEqual([])
    const fast = new Stragglers()
    steps(fast, 30, { a: 0.004, b: 0.004 })
    expect(steps(fast, 10, { a: 0.004, b: 0.015 })).toEqual([]) // too short to tell anybody
    expect(steps(fast, 400, { a: 0.004, b: 0.015 })).toMatchObject([{ workerId: 'b', slow: true }])
    expect(steps(new Stragglers(), 30, { a: 0.0001, b: 0.004 })).toEqual([])
  })

  it('is found in a large group, where the median is not taken anew for every word', () => {
    const group = Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`w${index}`, 0.05]))
    const stragglers = new Stragglers()
    expect(steps(stragglers, 30, group)).toEqual([])
    expect(steps(stragglers, 30, { ...group, w77: 0.2 })).toMatchObject([{ workerId: 'w77', slow: true }])
    expect(steps(stragglers, 30, group)).toMatchObject([{ workerId: 'w77', slow: false }])
    for (const id of Object.keys(group)) group[id] = 0.2
    expect(steps(stragglers, 30, group).filter(({ slow }) => slow)).toEqual([])
  })
})

describe('why a worker is slow', () => {
  const load = (change: Partial<StepLoad>): StepLoad => ({ ...noLoad, ...change })

  it.each([
    [{ stoppedSeconds: 0.08 }, {}, 'stopped process'],
    [{ delayedSeconds: 0.06 }, {}, 'other load'],
    [{ gcSeconds: 0.07 }, {}, 'garbage collection'],
    [{ inputSeconds: 0.09 }, { inputSeconds: 0.01 }, 'data'],
    [{ gcSeconds: 0.02, inputSeconds: 0.02 }, {}, 'compute'],
    [{ delayedSeconds: 0.06 }, { delayedSeconds: 0.05 }, 'compute'], // all have to wait for a core
    [{ delayedSeconds: 0.06, stoppedSeconds: 0.07 }, {}, 'stopped process'],
    [{}, {}, 'compute'],
  ] as const)('%j beside %j, 100 ms too long: %s', (own, usual, cause) => {
    expect(slowCause(load(own), load(usual), 0.1)).toBe(cause)
  })

  it('is told with its name, and stays until it is over', () => {
    const stragglers = new Stragglers()
    const told: Straggler[] = []
    for (let step = 0; step < 90; step++)
      for (const [workerId, seconds] of Object.entries({ a: 0.05, b: step < 30 ? 0.2 : 0.05 })) {
        stragglers.load(workerId, load({ delayedSeconds: seconds - 0.05 }), 1)
        const straggler = stragglers.report(workerId, seconds)
        if (straggler) told.push(straggler)
        if (step === 29) expect(stragglers.pace('b').slow).toBe('other load')
      }
    expect(told).toMatchObject([
      { workerId: 'b', slow: true, cause: 'other load' },
      { workerId: 'b', slow: false, cause: 'other load' },
    ])
    expect(stragglers.causes).toEqual([])
  })
})
