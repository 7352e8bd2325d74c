import { describe, expect, it } from 'vitest'
import { Replicas } from '../../coordinator/replicas.ts'

describe('replicas', () => {
  const compare = (hashes: Record<string, string>) => {
    const replicas = new Replicas()
    const group = Object.keys(hashes)
    return Object.entries(hashes).map(([workerId, hash]) =>
      replicas.report({ workerId, generation: 1, step: 5, hash }, group),
    )
  }

  it('that agree are fine, and one that has not told is waited for', () => {
    expect(compare({ a: 'x', b: 'x', c: 'x' })).toEqual([null, null, null])
  })

  it('the one that differs is named', () => {
    expect(compare({ a: 'x', b: 'y', c: 'x' }).at(-1)).toEqual({ step: 5, workerIds: ['b'], hash: 'x' })
  })

  it('nobody is believed where there is no majority', () => {
    expect(compare({ a: 'x', b: 'y' }).at(-1)).toEqual({ step: 5, workerIds: ['a', 'b'], hash: null })
  })

  it('a step that is computed again in another generation is compared on its own', () => {
    const replicas = new Replicas()
    expect(replicas.report({ workerId: 'a', generation: 1, step: 5, hash: 'x' }, ['a', 'b'])).toBeNull()
    expect(replicas.report({ workerId: 'b', generation: 2, step: 5, hash: 'y' }, ['b'])).toBeNull()
  })
})
