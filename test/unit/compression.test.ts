import { describe, expect, it } from 'vitest'
import { type Codec, type CompressionName, makeCodec } from '../../shared/compression/codec.ts'
import { limits } from '../../shared/core/limits.ts'
import { Arena, createSharedMemory, loadKernel } from '../../shared/kernel/kernel.ts'
import { largestOf, nearestBfloat, nearestHalf, nearestInBlock } from '../support/formats.ts'
import { lcg } from '../support/ranks.ts'

const memory = createSharedMemory(1 << 20)
const kernel = loadKernel(memory)
const arena = new Arena(memory)
const room = 10_000
const [values, encoded, residual, next, decoded] = Array.from({ length: 5 }, () => arena.allocate(room * 4))
const view = (offset: number | undefined, count: number) => arena.floats(offset ?? 0, count)
const ratio = 0.05
const codecOf = (name: CompressionName) => makeCodec(name, name === 'topk' ? ratio : null, kernel)
const lossy: readonly CompressionName[] = ['fp16', 'int8', 'topk']
const all: readonly CompressionName[] = ['bf16', ...lossy]

/** What each element is to become, slow and obvious. */
function reference(name: CompressionName, from: readonly number[]): number[] {
  if (name === 'bf16') return from.map(nearestBfloat)
  if (name === 'fp16') return from.map(nearestHalf)
  const size = name === 'int8' ? 16 : limits.topKBlockElements
  const blocks = Array.from({ length: Math.ceil(from.length / size) }, (_, index) =>
    from.slice(index * size, (index + 1) * size),
  )
  return blocks.flatMap((block) =>
    name === 'int8' ? nearestInBlock(block) : largestOf(block, Math.ceil(ratio * block.length)),
  )
}

/** All magnitudes from denormal to huge, ties, both signs, zeros. */
function wildNumbers(count: number, seed: number): Float32Array {
  const pick = lcg(seed)
  const word = new Uint32Array(1)
  const float = new Float32Array(word.buffer)
  return Float32Array.from({ length: count }, () => {
    const kind = pick(8)
    word[0] = (pick(0xffff) * 0x10000 + pick(0x10000)) >>> 0
    const wild = Number.isFinite(float[0]) ? (float[0] ?? 0) : 0
    if (kind < 2) return wild
    if (kind === 2) return 0
    if (kind === 3) return 1 + (2 * pick(2048) + 1) / 4096 // halfway between two binary16, or two bfloat16
    if (kind === 4) return (pick(200) - 100) / 2 ** 25 // around the least binary16
    return Math.fround((pick(2001) - 1000) * 1e-3 * 10 ** -pick(6))
  })
}

function encode(codec: Codec, from: ArrayLike<number>, withResidual: boolean): Buffer {
  const count = from.length
  view(values, count).set(from)
  const places = withResidual ? { from: residual ?? 0, to: next ?? 0 } : null
  codec.encode(values ?? 0, encoded ?? 0, count, places)
  return Buffer.from(new Uint8Array(memory.buffer, encoded, codec.encodedBytes(count)))
}

function decode(codec: Codec, first: number, last: number, count: number): number[] {
  const start = first - (first % codec.blockElements)
  const source = (encoded ?? 0) + codec.encodedBytes(start)
  codec.decode(decoded ?? 0, source, first, last, count)
  return [...view(decoded, last - first)]
}

const counts = [1, 3, 8, 15, 16, 17, 31, 33, 100, 4095, 4096, 4097, 9001]
const identical = (found: readonly number[], expected: readonly number[]) =>
  found.length === expected.length && found.every((value, index) => Object.is(value, expected[index]))
const same = (found: readonly number[], expected: readonly number[]) =>
  found.length === expected.length && found.every((value, index) => Object.is(value + 0, (expected[index] ?? 0) + 0))

describe.each(all)('%s', (name) => {
  const codec = codecOf(name)
  const feedback = name !== 'bf16'

  it('rounds as its format says, for every length, and leaves with the sender what the receiver decodes', () => {
    for (const count of counts) {
      const from = wildNumbers(count, count)
      view(residual, count).fill(0)
      encode(codec, from, feedback)
      const sent = [...view(values, count)]
      const expected = reference(name, [...from])
      expect(same(sent, expected), `${count} elements`).toBe(true)
      expect(identical(decode(codec, 0, count, count), sent), `${count} decoded`).toBe(true)
    }
  })

  it('decodes any part from the block on in which it begins', () => {
    const count = 9001
    view(residual, count).fill(0)
    encode(codec, wildNumbers(count, 5), feedback)
    const sent = [...view(values, count)]
    const step = name === 'topk' ? 1 : 16
    for (const [first, last] of [
      [0, 16],
      [16, 8208],
      [4096, 9001],
      [4080, 4112],
      [8992, 9001],
    ] as const)
      expect(same(decode(codec, first - (first % step), last, count), sent.slice(first, last))).toBe(true)
  })

  it('lets what is not finite through, where it is alone too', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const at of [0, 7, 99, 4999, 5000]) {
        const from = wildNumbers(5001, 9)
        from[at] = bad
        view(residual, 5001).fill(0)
        encode(codec, from, feedback)
        const found = decode(codec, 0, 5001, 5001)
        expect(Number.isFinite(found[at]), `${bad} at ${at}`).toBe(false)
        if (feedback) expect(view(next, 5001).every((value) => Number.isFinite(value))).toBe(true)
      }
    }
  })

  if (name !== 'topk')
    it('gives the same bytes again for what was decoded, −0 included', () => {
      for (const count of counts) {
        const from = wildNumbers(count, 11)
        from[count - 1] = -1e-30
        const once = encode(codec, from, false)
        const sent = [...view(values, count)]
        expect(encode(codec, sent, false).equals(once)).toBe(true)
        expect(identical([...view(values, count)], sent)).toBe(true)
      }
    })
})

describe.each(lossy)('the residual of %s', (name) => {
  const codec = codecOf(name)

  it('is what was not sent, and is sent later: in place, or into another copy', () => {
    const count = 5000
    view(residual, count).fill(0)
    const total = new Float64Array(count)
    const received = new Float64Array(count)
    const pick = lcg(3)
    for (let step = 0; step < 60; step++) {
      const gradient = Float32Array.from({ length: count }, () => Math.fround((pick(2001) - 1000) / 4096))
      const before = [...view(residual, count)]
      encode(codec, gradient, true)
      const sent = [...view(values, count)]
      expect([...view(residual, count)]).toEqual(before)
      const x = [...gradient].map((value, index) => Math.fround(value + (before[index] ?? 0)))
      expect(same(sent, reference(name, x)), `step ${step}`).toBe(true)
      expect(
        same(
          [...view(next, count)],
          x.map((value, index) => Math.fround(value - (sent[index] ?? 0))),
        ),
      ).toBe(true)
      // The same with one copy.
      view(values, count).set(gradient)
      codec.encode(values ?? 0, encoded ?? 0, count, { from: residual ?? 0, to: residual ?? 0 })
      expect(same([...view(residual, count)], [...view(next, count)])).toBe(true)
      for (let index = 0; index < count; index++) {
        total[index] = (total[index] ?? 0) + (gradient[index] ?? 0)
        received[index] = (received[index] ?? 0) + (sent[index] ?? 0)
      }
    }
    const left = view(residual, count)
    for (let index = 0; index < count; index++)
      expect(Math.abs((total[index] ?? 0) - (received[index] ?? 0) - (left[index] ?? 0))).toBeLessThan(1e-4)
  })
})

describe('top-k', () => {
  it('passes over positions outside of the block, whoever wrote them', () => {
    const codec = codecOf('topk')
    view(residual, 100).fill(0)
    encode(codec, wildNumbers(100, 2), true)
    new Uint8Array(memory.buffer, encoded, 2).fill(255)
    view(decoded, 200).fill(-1)
    decode(codec, 0, 100, 100)
    expect(view((decoded ?? 0) + 400, 100).every((value) => value === -1)).toBe(true)
  })

  it('sends no more than its part where more are equal, or are NaN', () => {
    const codec = codecOf('topk')
    for (const value of [0, 1, Number.NaN]) {
      view(residual, 200).fill(0)
      encode(codec, new Float32Array(200).fill(value), true)
      const found = decode(codec, 0, 200, 200)
      expect(found.filter((sent) => sent !== 0)).toHaveLength(value === 0 ? 0 : 10)
    }
    const words = new Uint32Array(memory.buffer, values, 200)
    words.fill(0x7fffffff) // the largest NaN of all
    view(residual, 200).fill(0)
    codec.encode(values ?? 0, encoded ?? 0, 200, { from: residual ?? 0, to: next ?? 0 })
    expect(decode(codec, 0, 200, 200).filter(Number.isNaN)).toHaveLength(10)
  })
})
