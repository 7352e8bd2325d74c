import { describe, expect, it } from 'vitest'
import { Arena, createSharedMemory, loadKernel } from '../../shared/kernel/kernel.ts'

const count = 1000
const memory = createSharedMemory(1 << 20)
const kernel = loadKernel(memory)
const arena = new Arena(memory)
const region = () => arena.allocate(count * 4)
const [weights, gradient, first, second] = [region(), region(), region(), region()] as const
const view = (offset: number) => arena.floats(offset, count)

/** Fills the regions and returns float64 copies for the oracle. */
function start(): { w: number[]; m: number[]; v: number[] } {
  for (let index = 0; index < count; index++) view(weights)[index] = Math.sin(index)
  view(first).fill(0)
  view(second).fill(0)
  return { w: [...view(weights)], m: new Array<number>(count).fill(0), v: new Array<number>(count).fill(0) }
}

function setGradient(step: number): number[] {
  for (let index = 0; index < count; index++) view(gradient)[index] = Math.cos(index * step) * 10 ** ((index % 5) - 3)
  return [...view(gradient)]
}

function expectClose(found: Float32Array, expected: readonly number[]): void {
  for (const [index, value] of found.entries())
    expect(Math.abs(value - (expected[index] ?? Number.NaN))).toBeLessThan(2e-6)
}

describe('kernels', () => {
  it('adds any number of elements, exactly as float32 does', () => {
    for (const length of [0, 1, 15, 16, 17, 999]) {
      const before = start().w
      setGradient(1)
      kernel.add(weights, gradient, length)
      const expected = before.map((value, index) =>
        index < length ? Math.fround(value + (view(gradient)[index] ?? 0)) : value,
      )
      expect([...view(weights)]).toEqual(expected)
    }
  })

  it('sums squares, to float32 in short runs, and lets NaN and infinity through', () => {
    const values = setGradient(2)
    const exact = values.reduce((sum, value) => sum + value * value, 0)
    expect(kernel.sumSquares(gradient, count) / exact).toBeCloseTo(1, 6)
    view(gradient).fill(1e-20) // has no square in float32
    expect(kernel.sumSquares(gradient, count & ~15)).toBe(0)
    for (const position of [0, 7, count - 1]) {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
        setGradient(2)
        view(gradient)[position] = bad
        expect(Number.isFinite(kernel.sumSquares(gradient, count))).toBe(false)
      }
    }
  })

  it('turns bytes into floats of a range', () => {
    const bytes = new Uint8Array(memory.buffer, first, count)
    for (const length of [0, 1, 15, 16, 33, count]) {
      view(weights).fill(-9)
      for (let index = 0; index < count; index++) bytes[index] = (index * 37) % 256
      kernel.scaleBytes(weights, first, length, 2 / 255, -1)
      const factor = Math.fround(2 / 255)
      const expected = Array.from({ length }, (_, index) =>
        Math.fround(Math.fround(((index * 37) % 256) * factor) + Math.fround(-1)),
      )
      expect([...view(weights).subarray(0, length)]).toEqual(expected)
      expect(
        view(weights)
          .subarray(length)
          .every((value) => value === -9),
      ).toBe(true)
    }
  })

  it('Adam follows algorithm 1 of Kingma & Ba', () => {
    const { w, m, v } = start()
    const [rate, beta1, beta2, epsilon] = [1e-3, 0.9, 0.999, 1e-8]
    for (let step = 1; step <= 5; step++) {
      for (const [index, g] of setGradient(step).entries()) {
        m[index] = beta1 * (m[index] ?? 0) + (1 - beta1) * g
        v[index] = beta2 * (v[index] ?? 0) + (1 - beta2) * g * g
        const corrected = (m[index] ?? 0) / (1 - beta1 ** step)
        w[index] = (w[index] ?? 0) - (rate * corrected) / (Math.sqrt((v[index] ?? 0) / (1 - beta2 ** step)) + epsilon)
      }
      kernel.adam({ weights, gradient, m: first, v: second, count, rate, beta1, beta2, epsilon, step })
    }
    expectClose(view(weights), w)
  })

  it('moments of weights whose gradient is gone fall to 0, not into the denormal numbers; NaN comes through', () => {
    start()
    setGradient(1)
    const update = { weights, gradient, m: first, v: second, count, rate: 1e-3, beta1: 0.5, beta2: 0.5, epsilon: 1e-8 }
    kernel.adam({ ...update, step: 1 })
    view(gradient).fill(0)
    for (let step = 2; step < 200; step++) kernel.adam({ ...update, step })
    expect(view(first).every((value) => value === 0)).toBe(true)
    expect(view(second).every((value) => value === 0)).toBe(true)
    view(gradient).fill(Number.NaN)
    kernel.adam({ ...update, step: 200 })
    expect(view(first).every((value) => Number.isNaN(value))).toBe(true)
  })

  it('RMSprop follows Tieleman & Hinton', () => {
    const { w, v } = start()
    for (let step = 1; step <= 5; step++) {
      for (const [index, g] of setGradient(step).entries()) {
        v[index] = 0.99 * (v[index] ?? 0) + 0.01 * g * g
        w[index] = (w[index] ?? 0) - (1e-3 * g) / (Math.sqrt(v[index] ?? 0) + 1e-8)
      }
      kernel.rmsprop({ weights, gradient, v: second, count, rate: 1e-3, alpha: 0.99, epsilon: 1e-8 })
    }
    expectClose(view(weights), w)
  })

  it('SGD carries its momentum', () => {
    const { w, m } = start()
    for (let step = 1; step <= 5; step++) {
      for (const [index, g] of setGradient(step).entries()) {
        m[index] = 0.9 * (m[index] ?? 0) + g
        w[index] = (w[index] ?? 0) - 1e-2 * (m[index] ?? 0)
      }
      kernel.sgd({ weights, gradient, momentumBuffer: first, count, rate: 1e-2, momentum: 0.9 })
    }
    expectClose(view(weights), w)
  })

  it('regions start at multiples of 64 bytes and do not overlap', () => {
    const other = new Arena(createSharedMemory(10_000))
    const [a, b] = [other.allocate(100), other.allocate(1)]
    expect([a % 64, b % 64]).toEqual([0, 0])
    expect(b).toBeGreaterThanOrEqual(a + 100)
  })

  it('a memory grows for a region that does not fit, and what is there stays', () => {
    const small = createSharedMemory(10_000)
    const other = new Arena(small)
    const first = other.floats(other.allocate(400), 100).fill(7)
    const large = other.allocate(8 << 20)
    other.floats(large, 2 << 20).fill(1)
    expect(small.buffer.byteLength).toBeGreaterThanOrEqual(large + (8 << 20))
    expect(first.every((value) => value === 7)).toBe(true)
    other.floats(first.byteOffset, 1)[0] = 9
    expect(first[0]).toBe(9)
  })
})
