import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bestDeal } from '../../coordinator/membership/best-deal.ts'
import type { Algorithm } from '../../shared/collective/algorithm.ts'
import { AllReduceGroup } from '../../shared/collective/all-reduce.ts'
import { nodesOfRanks } from '../../shared/collective/lanes.ts'
import { SimulatedNetwork } from '../../shared/transport/simulated-transport.ts'
import { formGroup, groupOf, lcg, plainMemory, rankData, sumOf, testRun } from '../support/ranks.ts'

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })

describe('the lane tree', () => {
  it('gives the same sum, bit for bit, however the lanes are shared out', async () => {
    const sizes = fc.record({
      power: fc.integer({ min: 0, max: 4 }),
      shares: fc.array(fc.nat(8), { minLength: 1, maxLength: 9 }),
      elements: fc.integer({ min: 1, max: 400 }),
      segmentElements: fc.integer({ min: 20, max: 200 }),
      seed: u32,
      algorithm: fc.constantFrom<Algorithm>('direct', 'exchange'),
    })
    await fc.assert(
      fc.asyncProperty(sizes, async ({ power, shares, elements, segmentElements, seed, algorithm }) => {
        const lanes = 2 ** power
        const paces = shares.map((share) => ({ laneSeconds: 1 + share, fixedSeconds: 0 }))
        const deal = bestDeal(paces.slice(0, lanes), lanes)
        const worldSize = deal.length
        const network = new SimulatedNetwork(lcg(seed))
        const transports = Array.from({ length: worldSize }, () => network.create())
        const nodes = nodesOfRanks(deal)
        const ranks = transports.map((transport, rank) => {
          const own = nodes[rank] ?? []
          const data = new Float32Array(own.length * elements)
          for (const [part, { first, lanes: count }] of own.entries())
            data.set(treeSum(first, count, elements), part * elements)
          const group = new AllReduceGroup({
            ...{ run: testRun, generation: 1, rank, worldSize, transport, segmentElements, lanes: nodes },
            algorithm: () => algorithm,
            memory: plainMemory(data),
          })
          transport.onFrame((header, payload) => group.receive(header, payload))
          const peers = transports.map(({ endpoint }, peer) => ({ rank: peer, endpoint }))
          transport.connect(groupOf(rank, peers))
          return { group, data, offsets: own.map((_, part) => part * elements) }
        })
        await Promise.all(ranks.map(({ group, offsets }) => group.allReduce(0, 0, offsets, elements)))
        const expected = treeSum(0, lanes, elements)
        for (const { data } of ranks) expect(data.subarray(0, elements)).toEqual(expected)
      }),
      { numRuns: 100 },
    )
  })
})

describe('an all-gather', () => {
  it('brings the parts of all ranks together, again and again in the same memory, beside reductions', async () => {
    const sizes = fc.record({
      counts: fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 2, maxLength: 7 }),
      seed: u32,
    })
    await fc.assert(
      fc.asyncProperty(sizes, async ({ counts, seed }) => {
        const network = new SimulatedNetwork(lcg(seed))
        const worldSize = counts.length
        const count = counts.reduce((sum, part) => sum + part, 0)
        const before = (rank: number) => counts.slice(0, rank).reduce((sum, part) => sum + part, 0)
        const ranks = formGroup(
          Array.from({ length: worldSize }, () => network.create()),
          2 * count,
        )
        for (let step = 0; step < 3; step++) {
          const part = (rank: number) => rankData(rank + step, counts[rank] ?? 0)
          const sum = ranks
            .map(({ data }) => data.slice(count))
            .reduce((a, b) => a.map((value, at) => value + (b[at] ?? 0)))
          const all = ranks.map(({ group, data }, rank) => {
            data.set(part(rank), before(rank))
            return [group.allGather(step, 1, 0, counts), group.allReduce(step, 0, [count], count)]
          })
          const reports = await Promise.all(all.flat())
          expect(reports[0]).toEqual({ bytes: (worldSize - 1) * (counts[0] ?? 0) * 4 })
          const expected = Float32Array.from(ranks.flatMap((_, rank) => [...part(rank)]))
          for (const { data } of ranks) {
            expect(data.subarray(0, count)).toEqual(expected)
            expect(data.subarray(count)).toEqual(sum)
          }
        }
      }),
      { numRuns: 100 },
    )
  })
})

/** The slow, obvious sum over a subtree: left half + right half. */
function treeSum(first: number, lanes: number, elements: number): Float32Array {
  if (lanes === 1) return rankData(first, elements)
  const right = treeSum(first + lanes / 2, lanes / 2, elements)
  return treeSum(first, lanes / 2, elements).map((value, index) => value + (right[index] ?? 0))
}

describe('every algorithm', () => {
  it('equals the naive sum in its order, bit for bit, in any order of delivery', async () => {
    const sizes = fc.record({
      worldSize: fc.integer({ min: 1, max: 9 }),
      elements: fc.nat({ max: 3000 }),
      segmentElements: fc.integer({ min: 1, max: 700 }),
      seed: u32,
      algorithm: fc.constantFrom<Algorithm>('direct', 'exchange', 'ring', 'tree', 'hierarchical', 'star'),
      hosts: fc.array(fc.nat({ max: 3 }), { minLength: 9, maxLength: 9 }),
      /** Frames that come before one rank aborts; more than there are: it never does. */
      frames: fc.nat({ max: 400 }),
    })
    await fc.assert(
      fc.asyncProperty(sizes, async ({ worldSize, elements, segmentElements, seed, algorithm, hosts: all, frames }) => {
        const hosts = all.slice(0, worldSize)
        const network = new SimulatedNetwork(lcg(seed))
        const transports = Array.from({ length: worldSize }, () => network.create())
        const hub = network.create()
        const options = { algorithm, hosts, hub, segmentElements: Math.max(segmentElements, Math.ceil(elements / 20)) }
        const ranks = formGroup(transports, elements, options)
        const expected = sumOf(algorithm, worldSize, elements, hosts)
        await Promise.all(ranks.map(({ group }) => group.allReduce(0, 0, [0], elements)))
        for (const { data } of ranks) expect(data).toEqual(expected)

        // Whenever one goes, nobody is left waiting, and who has a result has the whole of it.
        for (const [rank, { data }] of ranks.entries()) data.set(rankData(rank, elements))
        const last = ranks.at(-1)
        let left = frames
        last?.transport.onFrame((header, payload) => {
          if (left-- > 0) return last.group.receive(header, payload)
          last.group.abort(new Error('gone'))
          network.remove(last.transport.endpoint)
        })
        if (frames === 0) network.remove(last?.transport.endpoint ?? '')
        const reductions = ranks.map(({ group }) => group.allReduce(1, 0, [0], elements))
        if (frames === 0) last?.group.abort(new Error('gone'))
        for (const [rank, result] of (await Promise.allSettled(reductions)).entries())
          if (result.status === 'fulfilled') expect(ranks[rank]?.data).toEqual(expected)
      }),
      { numRuns: 120 },
    )
  })
})
