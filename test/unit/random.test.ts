import { describe, expect, it } from 'vitest'
import { permutation, philoxBlock, type RandomKey, seedWords } from '../../shared/core/random.ts'
import { Arena, createSharedMemory, loadKernel } from '../../shared/kernel/kernel.ts'

const memory = createSharedMemory(1 << 20)
const kernel = loadKernel(memory)
const target = new Arena(memory).allocate(1 << 19)
const key: RandomKey = { seed: 2 ** 40 + 7, stream: 4, step: 9, lane: 3 }

describe('Philox4x32-10', () => {
  // Known answers of the authors' Random123 library (kat_vectors).
  it.each([
    [[0, 0], [0, 0, 0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    [[0xa4093822, 0x299f31d0], [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ] as const)('key %j, counter %j', (words, counter, expected) => {
    expect(
      philoxBlock(words, counter as unknown as [number, number, number, number])
        .map((word) => word.toString(16).padStart(8, '0'))
        .join(' '),
    ).toBe(expected)
  })

  it('is the same in the kernel, for every count', () => {
    for (const count of [1, 2, 3, 4, 5, 1000]) {
      kernel.philoxU32(target, count, key)
      const found = [...new Uint32Array(memory.buffer, target, count)]
      const blocks = Array.from({ length: Math.ceil(count / 4) }, (_, block) =>
        philoxBlock(seedWords(key.seed), [block, key.stream, key.step, key.lane]),
      )
      expect(found).toEqual(blocks.flat().slice(0, count))
    }
  })
})

describe('draws', () => {
  const draw = (count: number, other: Partial<RandomKey> = {}) => {
    kernel.philoxNormal(target, count, { ...key, ...other })
    return new Float32Array(memory.buffer, target, count).slice()
  }

  it('are normal', () => {
    const values = [...draw(100_000)]
    const moment = (power: number) => values.reduce((sum, value) => sum + value ** power, 0) / values.length
    expect(moment(1)).toBeCloseTo(0, 1)
    expect(moment(2)).toBeCloseTo(1, 1)
    expect(Math.abs(moment(3))).toBeLessThan(0.05)
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.1)
  })

  it('do not depend on how many are taken, and differ by seed, stream, step and lane', () => {
    const long = draw(999)
    for (const count of [1, 2, 7, 500]) expect(draw(count)).toEqual(long.subarray(0, count))
    for (const other of [{ seed: 1 }, { stream: 1 }, { step: 1 }, { lane: 1 }])
      expect(draw(999, other)).not.toEqual(long)
  })

  it('of the uniform kind lie in [0, 1) and fill it evenly', () => {
    kernel.philoxUniform(target, 100_000, key)
    const bins = new Array<number>(10).fill(0)
    for (const value of new Float32Array(memory.buffer, target, 100_000))
      bins[Math.floor(value * 10)] = (bins[Math.floor(value * 10)] ?? Number.NaN) + 1
    for (const bin of bins) expect(Math.abs(bin - 10_000)).toBeLessThan(500)
  })
})

describe('the order of an epoch', () => {
  it('holds every sample once, and differs by seed and epoch', () => {
    const order = permutation(1, 0, 1000)
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, index) => index))
    expect(permutation(1, 0, 1000)).toEqual(order)
    expect(permutation(1, 1, 1000)).not.toEqual(order)
    expect(permutation(2, 0, 1000)).not.toEqual(order)
  })

  it('takes every order of three equally often', () => {
    const counts = new Map<string, number>()
    for (let epoch = 0; epoch < 6000; epoch++) {
      const order = permutation(3, epoch, 3).join()
      counts.set(order, (counts.get(order) ?? 0) + 1)
    }
    expect(counts.size).toBe(6)
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
    expect(chiSquare).toBeLessThan(20.5) // 0.1 % of fair shuffles exceed it, 5 degrees of freedom
  })
})
