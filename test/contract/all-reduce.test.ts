import { afterEach, describe, expect, it } from 'vitest'
import type { Algorithm } from '../../shared/collective/algorithm.ts'
import { AllReduceGroup } from '../../shared/collective/all-reduce.ts'
import { type nodesOf, nodesOfRanks } from '../../shared/collective/lanes.ts'
import { encodeFrameHeader, type FrameHeader, frameKind } from '../../shared/protocol/frame.ts'
import { bytesPayload, type Transport } from '../../shared/transport/transport.ts'
import { formGroup, groupOf, openHub, plainMemory, rankData, sumOf, testRun, transportKinds } from '../support/ranks.ts'

const worldSizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16]
const algorithms: readonly Algorithm[] = ['direct', 'exchange', 'ring', 'tree', 'hierarchical', 'star']
const isDistributed = (algorithm: Algorithm) => algorithm !== 'exchange'
/** What all ranks send together, in buckets. */
function copiesOf(algorithm: Algorithm, worldSize: number): number {
  if (algorithm === 'star') return worldSize > 1 ? worldSize : 0
  return isDistributed(algorithm) ? 2 * (worldSize - 1) : worldSize * (worldSize - 1)
}

describe.each(transportKinds)('all-reduce over $name', ({ open, wire }) => {
  let transports: Transport[] = []

  let hub: Transport

  const openAll = async (count: number) => {
    const opened = await open(count + 1)
    transports = opened.slice(0, -1)
    hub = opened.at(-1) ?? hub
    return transports
  }

  const form = (count: number, options: Parameters<typeof formGroup>[2]) =>
    formGroup(transports, count, { wire, hub, ...options })

  afterEach(() => {
    for (const transport of [...transports, hub]) transport.close()
  })

  it.each(worldSizes)('every algorithm adds in its order, bit for bit, on %i ranks', async (worldSize) => {
    await openAll(worldSize)
    let generation = 0
    for (const algorithm of algorithms) {
      for (const elements of [0, 1, worldSize - 1, 1009, 100_003]) {
        // A segment is less than a chunk, but not so much less that the exchange's N² of them take the time.
        const segmentElements = isDistributed(algorithm) ? 4096 : 32_768
        const ranks = form(elements, { generation: ++generation, segmentElements, algorithm })
        const reports = await Promise.all(ranks.map(({ group }) => group.allReduce(0, 0, [0], elements)))
        const expected = sumOf(algorithm, worldSize, elements)
        for (const { data } of ranks) expect(sameBits(data, expected), `${algorithm} of ${elements}`).toBe(true)
        const sent = reports.reduce((sum, { bytes }) => sum + bytes, 0)
        expect(sent, `${algorithm} of ${elements}`).toBe(copiesOf(algorithm, worldSize) * elements * 4)
      }
    }
  })

  it.each([
    [[0, 0, 0]],
    [[0, 1, 2]],
    [[0, 1, 0, 1]],
    [[0, 0, 0, 1]],
    [[0, 1, 1, 1, 1]],
    [[0, 0, 0, 1, 1, 2]],
    [[0, 1, 2, 0, 1, 0, 0]],
  ])('hierarchical adds host by host, on hosts %j', async (hosts) => {
    await openAll(hosts.length)
    for (const [index, elements] of [1, 63, 1009, 50_021].entries()) {
      const ranks = form(elements, { generation: index + 1, segmentElements: 1024, algorithm: 'hierarchical', hosts })
      for (let step = 0; step < 3; step++) {
        for (const [rank, { data }] of ranks.entries()) data.set(rankData(rank, elements))
        const reports = await Promise.all(ranks.map(({ group }) => group.allReduce(step, 0, [0], elements)))
        const expected = sumOf('hierarchical', hosts.length, elements, hosts)
        for (const { data } of ranks) expect(sameBits(data, expected), `${elements} elements, step ${step}`).toBe(true)
        const sent = reports.reduce((sum, { bytes }) => sum + bytes, 0)
        expect(sent).toBe(2 * (hosts.length - 1) * elements * 4)
      }
    }
  })

  it('a star fails on every rank when its hub goes', async () => {
    await openAll(3)
    const ranks = form(10_000, { segmentElements: 512, algorithm: 'star' })
    await Promise.all(ranks.map(({ group }) => group.allReduce(0, 0, [0], 64)))
    const [first, second] = ranks
    const open = Promise.allSettled([first?.group, second?.group].map((group) => group?.allReduce(1, 0, [0], 10_000)))
    hub.close()
    for (const result of await open)
      expect(result).toMatchObject({ status: 'rejected', reason: new Error('rank 3 is lost') })
  })

  describe.each(algorithms)('%s', (algorithm) => {
    it('reduces several buckets of several steps at once, in place, whoever starts first', async () => {
      await openAll(3)
      const ranks = form(3000, { segmentElements: 256, algorithm })
      const before = rankData(0, 3000)
      const late = ranks[2]
      const early = ranks
        .slice(0, 2)
        .flatMap(({ group }) => [group.allReduce(1, 0, [0], 1000), group.allReduce(1, 1, [1000], 1000)])
      await new Promise((resolve) => setTimeout(resolve, 20)) // what they sent waits for the third
      const last = [late?.group.allReduce(1, 1, [1000], 1000), late?.group.allReduce(1, 0, [0], 1000)]
      await Promise.all([...early, ...last])
      for (const start of [0, 1000]) {
        const results = ranks.map(({ data }) => data.subarray(start, start + 1000))
        for (const data of results) expect(sameBits(data, results[0] ?? data)).toBe(true)
      }
      const expected = sumOf(algorithm, 3, 3000)
      if (algorithm !== 'ring')
        for (const { data } of ranks) expect(sameBits(data.subarray(0, 2000), expected.subarray(0, 2000))).toBe(true)
      expect(sameBits(ranks[0]?.data.subarray(2000) ?? new Float32Array(), before.subarray(2000))).toBe(true)
    })

    // Nobody waits for the slowest before the next step: what it has not read must not be overwritten.
    it.each([2, 4, 5])('lets the memory be reused as soon as a reduction is done, on %i ranks', async (worldSize) => {
      await openAll(worldSize)
      const ranks = form(20_000, { segmentElements: 1024, algorithm })
      const expected = sumOf(algorithm, worldSize, 20_000)
      for (const [rank, { transport, group }] of ranks.entries()) {
        // Each reads what it got later than it got it, in the order in which it came.
        const receive = (...frame: Parameters<typeof group.receive>) => group.receive(...frame)
        transport.onFrame((...frame) => void setTimeout(() => receive(...frame), 2 * ((rank * 3) % worldSize)))
      }
      const train = async ({ group, data }: (typeof ranks)[number], rank: number) => {
        for (let step = 0; step < 8; step++) {
          // Other values in each step, whose sum is the same but for its exponent.
          data.set(rankData(rank, 20_000).map((value) => value * 2 ** step))
          if ((rank + step) % worldSize === 0) await new Promise((resolve) => setTimeout(resolve, 3))
          await group.allReduce(step, 0, [0], 20_000)
          const wanted = expected.map((value) => value * 2 ** step)
          expect(sameBits(data, wanted), `step ${step} on rank ${rank}`).toBe(true)
          data.fill(Number.NaN)
        }
      }
      await Promise.all(ranks.map(train))
    })

    it.each(['before it contributes', 'after it contributed', 'after it got a part'])(
      'fails on every survivor when a peer goes %s',
      async (phase) => {
        await openAll(3)
        const ranks = form(10_000, { segmentElements: 512, algorithm })
        await Promise.all(ranks.map(({ group }) => group.allReduce(0, 0, [0], 64))) // links are up
        for (const [rank, { data }] of ranks.entries()) data.set(rankData(rank, 10_000))
        const expected = sumOf(algorithm, 3, 10_000)
        const [, , lost] = ranks
        if (phase === 'after it got a part') {
          // From then on it takes what comes, and sends nothing.
          const receive = lost?.group.receive.bind(lost.group)
          let frames = 0
          lost?.transport.onFrame((header, payload) => {
            if (frames++ < 2) receive?.(header, payload)
            else lost.transport.close()
          })
        }
        const open = ranks.slice(0, 2).map(({ group }) => group.allReduce(1, 0, [0], 10_000))
        const settled = Promise.allSettled(open)
        const step = phase === 'after it got a part' ? 1 : 2
        const own = phase === 'before it contributes' ? undefined : lost?.group.allReduce(step, 0, [0], 10_000)
        const ownSettled = Promise.allSettled([own])
        if (phase !== 'after it got a part') lost?.transport.close()
        for (const [rank, result] of (await settled).entries()) {
          // A peer that had sent all that it had to send may be gone, and the sum there: but then it is the whole sum.
          if (result.status === 'fulfilled' && phase === 'after it got a part')
            expect(sameBits(ranks[rank]?.data ?? new Float32Array(), expected)).toBe(true)
          else expect(result).toMatchObject({ status: 'rejected', reason: new Error('rank 2 is lost') })
        }
        lost?.group.abort(new Error('closed'))
        await ownSettled
      },
    )

    it('fails open and later reductions once it is aborted', async () => {
      await openAll(2)
      const [first] = form(100, { algorithm })
      const open = first?.group.allReduce(0, 0, [0], 100)
      first?.group.abort(new Error('stop'))
      await expect(open).rejects.toThrow('stop')
      await expect(first?.group.allReduce(1, 0, [0], 100)).rejects.toThrow('stop')
    })

    it('drops and counts frames of another run, another generation, repeated ones, and none at all', async () => {
      await openAll(2)
      const [first, second] = form(64, { algorithm })
      const payload = bytesPayload(new Uint8Array(4))
      const receive = (frame: Partial<FrameHeader>) => first?.group.receive(frameHeader(frame), payload)
      receive({ run: 5n })
      receive({ generation: 9 })
      first?.group.receive(new Uint8Array(40), payload)
      first?.group.receive(frameHeader({}).subarray(0, 39), payload)
      receive({ count: 2 })
      receive({ sender: 3 })
      receive({ kind: frameKind.statePiece })
      expect(first?.group.staleFrames).toBe(2)
      expect(first?.group.malformedFrames).toBe(5)
      await Promise.all([first?.group.allReduce(0, 0, [0], 64), second?.group.allReduce(0, 0, [0], 64)])
      expect(sameBits(first?.data ?? new Float32Array(), sumOf(algorithm, 2, 64))).toBe(true)
    })

    it('aborts where a peer cuts a bucket otherwise', async () => {
      for (const frame of [{ offset: 4 }, { offset: 64 }, { count: 1 }, { offset: 2 ** 32 - 1 }]) {
        await openAll(2)
        const [first] = form(64, { algorithm })
        const open = first?.group.allReduce(0, 0, [0], 64)
        first?.group.receive(frameHeader(frame), bytesPayload(new Uint8Array(4)))
        await expect(open).rejects.toThrow('rank 1 cut bucket 0 of step 0 otherwise')
        for (const transport of [...transports, hub]) transport.close()
      }
    })

    it('aborts where a payload cannot be read', async () => {
      await openAll(2)
      const [first] = form(64, { algorithm: 'exchange' })
      const open = first?.group.allReduce(0, 0, [0], 64)
      const gone = () => {
        throw new Error('gone')
      }
      first?.group.receive(frameHeader({ count: 64 }), { byteLength: 256, heldBytes: 0, copyTo: gone })
      await expect(open).rejects.toThrow('gone')
    })
  })

  it.each(['direct', 'exchange', 'star'] as const)('%s adds lanes in the order of their tree', async (algorithm) => {
    const results = new Set<string>()
    for (const deal of [[8], [4, 4], [1, 7], [2, 3, 3], [5, 1, 2], [1, 2, 1, 2, 2]]) {
      const worldSize = deal.length
      await openAll(worldSize)
      const nodes = nodesOfRanks(deal)
      const peers = transports.map(({ endpoint }, rank) => ({ rank, endpoint }))
      if (algorithm === 'star') openHub(hub, groupOf(worldSize, peers, { wire: 'tcp' }), deal)
      const reduced = await Promise.all(
        transports.map((transport, rank) => reduceLanes(transport, rank, nodes, algorithm)),
      )
      for (const data of reduced) results.add(Buffer.from(data.buffer, 0, elementsOfLanes * 4).toString('hex'))
      for (const transport of [...transports, hub]) transport.close()
    }
    expect(results.size).toBe(1)
  })

  const elementsOfLanes = 5000

  async function reduceLanes(
    transport: Transport,
    rank: number,
    lanes: ReturnType<typeof nodesOf>[],
    algorithm: Algorithm,
  ): Promise<Float32Array> {
    const own = lanes[rank] ?? []
    const data = new Float32Array(own.length * elementsOfLanes)
    const memory = plainMemory(data)
    const group = new AllReduceGroup({
      ...{
        run: testRun,
        generation: 1,
        rank,
        worldSize: lanes.length,
        transport,
        memory,
        algorithm: () => algorithm,
        lanes,
        hub: algorithm === 'star',
      },
      segmentElements: 1024,
    })
    transport.onFrame((header, payload) => group.receive(header, payload))
    const ends = algorithm === 'star' ? [...transports, hub] : transports
    const peers = ends.map(({ endpoint }, peer) => ({ rank: peer, endpoint }))
    const others = peers.filter((peer) => peer.rank !== rank)
    transport.connect(groupOf(rank, others, { wire }))
    const offsets = own.map((_, part) => part * elementsOfLanes)
    for (let step = 0; step < 3; step++) {
      for (const [part, { first, lanes: count }] of own.entries())
        data.set(treeSum(first, count), part * elementsOfLanes)
      await group.allReduce(step, 0, offsets, elementsOfLanes)
    }
    return data
  }

  /** The slow, obvious sum over a subtree: left half + right half. */
  function treeSum(first: number, lanes: number): Float32Array {
    if (lanes === 1) return rankData(first, elementsOfLanes)
    const right = treeSum(first + lanes / 2, lanes / 2)
    return treeSum(first, lanes / 2).map((value, index) => value + (right[index] ?? 0))
  }
})

function frameHeader(frame: Partial<FrameHeader>): Uint8Array {
  return encodeFrameHeader({
    ...{ kind: frameKind.contribution, run: testRun, generation: 1, step: 0, bucket: 0, sender: 1 },
    ...{ segment: 0, part: 0, offset: 0, count: 1, ...frame },
  })
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength))
}
