import { afterEach, describe, expect, it } from 'vitest'
import type { Algorithm } from '../../shared/collective/algorithm.ts'
import type { CompressionName } from '../../shared/compression/codec.ts'
import { encodeFrameHeader, frameKind } from '../../shared/protocol/frame.ts'
import { bytesPayload, type Transport } from '../../shared/transport/transport.ts'
import { compressedWorker, formCompressed } from '../support/compressed-ranks.ts'
import { rankData, testRun, transportKinds } from '../support/ranks.ts'

const worldSizes = [1, 2, 3, 4, 5]
/** What one encoding loses of an element, as a part of the largest of its block. */
const loss = { bf16: 2 ** -8, fp16: 2 ** -11, int8: 2 ** -6, topk: 1 }
/** Bytes of an element on the wire, and a little. */
const bytes = { bf16: 2, fp16: 2, int8: 17 / 16, topk: 1.5 }
const algorithmsOf = (name: CompressionName): readonly Algorithm[] =>
  name === 'topk' ? ['direct', 'exchange'] : ['direct', 'exchange', 'ring', 'tree', 'hierarchical']
const exact = 32

describe.each(transportKinds)('compressed all-reduce over $name', ({ open, wire }) => {
  let transports: Transport[] = []

  afterEach(() => {
    for (const transport of transports) transport.close()
  })

  describe.each(['bf16', 'fp16', 'int8', 'topk'] as const)('%s', (name) => {
    it.each(worldSizes)('leaves the same bits on all of %i ranks, near the sum, in fewer bytes', async (worldSize) => {
      transports = await open(worldSize)
      let generation = 0
      for (const algorithm of algorithmsOf(name)) {
        for (const elements of [0, 1, 33, 1009, 20_011]) {
          const workers = transports.map(() => compressedWorker(name, elements))
          const ranks = formCompressed(workers, transports, { algorithm, generation: ++generation, wire })
          const what = `${algorithm} of ${elements}`
          for (let step = 0; step < 3; step++) {
            for (const [rank, { data }] of ranks.entries()) data.set(tame(rank, elements))
            const sent = await Promise.all(ranks.map(({ reduce }) => reduce(step, exact)))
            for (const { compression } of ranks) compression.settle('keep')
            const [first] = ranks
            for (const { data } of ranks) expect(sameBits(data, first?.data ?? data), what).toBe(true)
            check(name, algorithm, worldSize, first?.data ?? new Float32Array(), what)
            const copies = algorithm === 'exchange' ? worldSize * (worldSize - 1) : 2 * (worldSize - 1)
            const most = copies * (4 * Math.min(exact, elements) + bytes[name] * elements + 64 * worldSize)
            expect(
              sent.reduce((sum, some) => sum + some, 0),
              what,
            ).toBeLessThanOrEqual(most)
          }
        }
      }
    })

    it('lets all ranks see what is not finite, on whichever rank it is, and forgets it with the step', async () => {
      transports = await open(3)
      let generation = 0
      for (const algorithm of algorithmsOf(name)) {
        const workers = transports.map(() => compressedWorker(name, 3000))
        const ranks = formCompressed(workers, transports, { algorithm, generation: ++generation, wire })
        let step = 0
        const { NaN: nan, POSITIVE_INFINITY: up, NEGATIVE_INFINITY: down } = Number
        for (const bad of [[nan], [0, nan], [0, 0, up], [up, down]]) {
          for (const at of [40, 1500, 2999]) {
            for (const [rank, { data }] of ranks.entries()) data.fill(1)[at] = bad[rank] ?? 1
            const number = step++
            await Promise.all(ranks.map(({ reduce }) => reduce(number, exact)))
            for (const { data, compression } of ranks) {
              expect(Number.isFinite(data[at]), `${algorithm}: ${bad} at ${at}`).toBe(false)
              compression.settle('restore')
            }
          }
        }
        for (const { data } of ranks) data.fill(1)
        await Promise.all(ranks.map(({ reduce }) => reduce(1000, exact)))
        for (const { data } of ranks) expect(data.every((value) => Number.isFinite(value))).toBe(true)
      }
    })
  })

  it('drops and counts what has another length', async () => {
    transports = await open(2)
    const workers = transports.map(() => compressedWorker('bf16', 64))
    const [first, second] = formCompressed(workers, transports, { algorithm: 'direct', wire })
    const frame = { kind: frameKind.contribution, run: testRun, generation: 1, step: 0, bucket: 0, sender: 1 }
    const header = encodeFrameHeader({ ...frame, segment: 0, part: 0, offset: 0, count: 32 })
    for (const length of [0, 63, 65, 128]) first?.group.receive(header, bytesPayload(new Uint8Array(length)))
    for (const worker of workers) worker.data.fill(3)
    await Promise.all([first?.reduce(0), second?.reduce(0)])
    expect(first?.group.malformedFrames).toBe(4)
    expect(first?.data.every((value) => value === 6)).toBe(true)
  })
})

/** Values of like magnitude, whose sum depends on the order of addition. */
function tame(rank: number, elements: number): Float32Array {
  return rankData(rank, elements).map((value, index) => value / 10 ** ((index + rank) % 7))
}

function check(
  name: CompressionName,
  algorithm: Algorithm,
  worldSize: number,
  found: Float32Array,
  what: string,
): void {
  const plain = tameSum(worldSize, found.length)
  const inOrder = algorithm === 'direct' || algorithm === 'exchange'
  // Each rank's part is 1 at most, and what it has left over as much again; so is the sum, for each of worldSize.
  const most = worldSize === 1 ? 0 : 4 * worldSize * loss[name] * (inOrder ? 1 : worldSize)
  const bound = (index: number) => (index < exact ? (inOrder ? 0 : 1e-6) : most + 1e-6)
  const wrong = found.findIndex((value, index) => !(Math.abs(value - (plain[index] ?? 0)) <= bound(index)))
  expect(wrong < 0 ? null : [wrong, found[wrong], plain[wrong]], what).toBeNull()
}

function tameSum(worldSize: number, elements: number): Float32Array {
  const sum = tame(0, elements)
  for (let rank = 1; rank < worldSize; rank++)
    for (const [index, value] of tame(rank, elements).entries()) sum[index] = (sum[index] ?? 0) + value
  return sum
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
}
