import { afterEach, describe, expect, it } from 'vitest'
import { encodeFrameHeader, frameKind } from '../../shared/protocol/frame.ts'
import type { Transport } from '../../shared/transport/transport.ts'
import { formGroup, rankData, sumInRankOrder, testRun, transportKinds } from '../support/ranks.ts'

const worldSizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16]

describe.each(transportKinds)('direct all-reduce over $name', ({ open }) => {
  let transports: Transport[] = []

  const openAll = async (count: number) => {
    transports = await open(count)
    return transports
  }

  afterEach(() => {
    for (const transport of transports) transport.close()
  })

  it.each(worldSizes)('adds in rank order, bit for bit, on %i ranks', async (worldSize) => {
    await openAll(worldSize)
    for (const [round, elements] of [0, 1, worldSize - 1, 1009, 100_003].entries()) {
      const ranks = formGroup(transports, elements, { generation: round + 1, segmentElements: 4096 })
      await Promise.all(ranks.map(({ group }) => group.allReduce(0, 0, [0], elements)))
      const expected = sumInRankOrder(worldSize, elements)
      for (const { data } of ranks) expect(sameBits(data, expected)).toBe(true)
    }
  })

  it('reduces several buckets of several steps at once, in place, whoever starts first', async () => {
    const ranks = formGroup(await openAll(3), 3000, { segmentElements: 256 })
    const before = rankData(0, 3000)
    const late = ranks[2]
    const early = ranks
      .slice(0, 2)
      .flatMap(({ group }) => [group.allReduce(1, 0, [0], 1000), group.allReduce(1, 1, [1000], 1000)])
    const last = [late?.group.allReduce(1, 1, [1000], 1000), late?.group.allReduce(1, 0, [0], 1000)]
    await Promise.all([...early, ...last])
    const expected = sumInRankOrder(3, 3000)
    for (const { data } of ranks) expect(sameBits(data.subarray(0, 2000), expected.subarray(0, 2000))).toBe(true)
    expect(sameBits(ranks[0]?.data.subarray(2000) ?? new Float32Array(), before.subarray(2000))).toBe(true)
  })

  it('lets the memory be reused as soon as a reduction is done', async () => {
    const ranks = formGroup(await openAll(4), 50_000, { segmentElements: 1024 })
    for (let step = 0; step < 5; step++) {
      for (const [rank, { data }] of ranks.entries()) data.set(rankData(rank, 50_000))
      await Promise.all(ranks.map(({ group }) => group.allReduce(step, 0, [0], 50_000)))
      const expected = sumInRankOrder(4, 50_000)
      for (const { data } of ranks) {
        expect(sameBits(data, expected)).toBe(true)
        data.fill(Number.NaN)
      }
    }
  })

  it.each(['before it contributes', 'after it contributed'])(
    'fails on every survivor when a peer goes %s',
    async (phase) => {
      const ranks = formGroup(await openAll(3), 10_000, { segmentElements: 512 })
      await Promise.all(ranks.map(({ group }) => group.allReduce(0, 0, [0], 16))) // links are up
      const survivors = ranks.slice(0, 2).map(({ group }) => group.allReduce(1, 0, [0], 10_000))
      const settled = Promise.allSettled(survivors)
      const lost = phase === 'after it contributed' ? ranks[2]?.group.allReduce(2, 0, [0], 10_000) : undefined
      const lostSettled = Promise.allSettled([lost])
      ranks[2]?.transport.close()
      for (const result of await settled)
        expect(result).toMatchObject({ status: 'rejected', reason: new Error('rank 2 is lost') })
      ranks[2]?.group.abort(new Error('closed'))
      await lostSettled
    },
  )

  it('fails open and later reductions once it is aborted', async () => {
    const ranks = formGroup(await openAll(2), 100)
    const open = ranks[0]?.group.allReduce(0, 0, [0], 100)
    ranks[0]?.group.abort(new Error('stop'))
    await expect(open).rejects.toThrow('stop')
    await expect(ranks[0]?.group.allReduce(1, 0, [0], 100)).rejects.toThrow('stop')
  })

  it('drops and counts frames of another run, another generation, and none at all', async () => {
    const [first, second] = formGroup(await openAll(2), 64)
    const header = {
      kind: frameKind.contribution,
      run: testRun,
      generation: 1,
      step: 0,
      bucket: 0,
      sender: 1,
      segment: 0,
      part: 0,
      offset: 0,
      count: 1,
    }
    const payload = new Uint8Array(4)
    first?.group.receive(encodeFrameHeader({ ...header, run: 5n }), payload)
    first?.group.receive(encodeFrameHeader({ ...header, generation: 9 }), payload)
    first?.group.receive(new Uint8Array(40), payload)
    first?.group.receive(encodeFrameHeader(header).subarray(0, 39), payload)
    first?.group.receive(encodeFrameHeader({ ...header, count: 2 }), payload)
    first?.group.receive(encodeFrameHeader({ ...header, sender: 2 }), payload)
    expect(first?.group.staleFrames).toBe(2)
    expect(first?.group.malformedFrames).toBe(4)
    await Promise.all([first?.group.allReduce(0, 0, [0], 64), second?.group.allReduce(0, 0, [0], 64)])
    expect(sameBits(first?.data ?? new Float32Array(), sumInRankOrder(2, 64))).toBe(true)
  })

  it('aborts where a peer cuts a bucket otherwise', async () => {
    const [first] = formGroup(await openAll(2), 64)
    const open = first?.group.allReduce(0, 0, [0], 64)
    const header = {
      kind: frameKind.contribution,
      run: testRun,
      generation: 1,
      step: 0,
      bucket: 0,
      sender: 1,
      segment: 0,
      part: 0,
      offset: 4,
      count: 1,
    }
    first?.group.receive(encodeFrameHeader(header), new Uint8Array(4))
    await expect(open).rejects.toThrow('rank 1 cut bucket 0 of step 0 otherwise')
  })
})

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
}
