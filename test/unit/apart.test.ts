import { describe, expect, it } from 'vitest'
import { linkFailed, linksHold, type Pairs, withoutApart } from '../../coordinator/membership/apart.ts'
import { newMember } from '../../coordinator/membership/state.ts'

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
})
