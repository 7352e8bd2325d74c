import { describe, expect, it } from 'vitest'
import { chooseAlgorithm, describeAlgorithm } from '../../shared/collective/algorithm.ts'

describe('the choice of an algorithm', () => {
  const megabyte = 1 << 20
  it.each([
    ['auto', 2, megabyte, 'exchange'],
    ['auto', 2, megabyte + 4, 'direct'],
    ['auto', 5, megabyte / 4, 'exchange'],
    ['auto', 5, megabyte, 'direct'],
    ['auto', 17, 4096, 'tree'],
    ['auto', 17, megabyte, 'direct'],
    ['direct', 2, 4096, 'exchange'],
    ['direct', 17, 4096, 'direct'],
    ['ring', 3, 4096, 'ring'],
    ['tree', 3, 50 * megabyte, 'tree'],
  ] as const)('%s on %i ranks for %i bytes is %s', (choice, worldSize, bytes, name) => {
    expect(chooseAlgorithm(choice, worldSize, bytes, false).name).toBe(name)
  })

  it('adds a reproducible run in one place', () => {
    expect(chooseAlgorithm('auto', 17, 4096, true).name).toBe('direct')
  })

  it('says why', () => {
    expect(describeAlgorithm('auto', 3, false)).toEqual({
      name: 'direct',
      reason: '3 ranks: fewest bytes in two hops; exchange up to 512 KiB',
    })
    expect(describeAlgorithm('auto', 20, false).reason).toContain('tree up to 256 KiB')
    expect(describeAlgorithm('ring', 3, false)).toEqual({ name: 'ring', reason: '--algorithm ring' })
    expect(describeAlgorithm('auto', 1, false).reason).toBe('one rank has nothing to add')
  })
})
