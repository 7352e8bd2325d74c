import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { MembershipEffect, MembershipEvent } from '../../coordinator/membership/events.ts'
import { decide } from '../../coordinator/membership/membership.ts'
import { initialMembership } from '../../coordinator/membership/state.ts'
import { Ledger } from '../../coordinator/schedule/ledger.ts'
import { DirectAllReduce } from '../../shared/collective/direct.ts'
import { nodesOf } from '../../shared/collective/lanes.ts'
import { type RunConfig, resolveConfig } from '../../shared/core/config.ts'
import { permutation } from '../../shared/core/random.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import { lanesOfRank, makeSchedule, rowsOfLane } from '../../shared/core/schedule.ts'
import {
  decodeToCoordinator,
  decodeToWorker,
  encodeControl,
  type ToCoordinator,
} from '../../shared/protocol/control.ts'
import { decodeFrameHeader, encodeFrameHeader } from '../../shared/protocol/frame.ts'
import { SimulatedNetwork } from '../../shared/transport/simulated-transport.ts'
import { lcg, plainMemory, rankData, sumInRankOrder, testRun } from '../support/ranks.ts'

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const u16 = fc.integer({ min: 0, max: 2 ** 16 - 1 })

function config(batchSize: number, model: RunConfig['model'], discriminatorUpdates: number): RunConfig {
  return { ...resolveConfig({ model, epochs: 2, batchSize, maxWorkers: 1 }), discriminatorUpdates }
}

describe('sharding', () => {
  it('an epoch feeds every sample to exactly one rank, once', () => {
    const sizes = fc.record({
      samples: fc.integer({ min: 1, max: 700 }),
      batchSize: fc.integer({ min: 1, max: 200 }),
      power: fc.integer({ min: 0, max: 5 }),
      rankSeed: u32,
      updates: fc.integer({ min: 1, max: 6 }),
      gan: fc.boolean(),
    })
    fc.assert(
      fc.property(sizes, ({ samples, batchSize, power, rankSeed, updates, gan }) => {
        const lanes = 2 ** power
        const worldSize = 1 + (rankSeed % lanes)
        const schedule = makeSchedule(config(batchSize, gan ? 'gan' : 'vae', updates), samples)
        const uses = new Uint8Array(samples)
        for (let step = 0; step < schedule.stepsPerEpoch; step++) {
          for (const batch of schedule.plan(step).batches) {
            for (let rank = 0; rank < worldSize; rank++) {
              const owned = lanesOfRank(rank, worldSize, lanes)
              for (let lane = owned.first; lane < owned.last; lane++) {
                const rows = rowsOfLane(lane, lanes, batch.end - batch.start)
                for (let row = rows.start; row < rows.end; row++)
                  uses[batch.start + row] = (uses[batch.start + row] ?? 0) + 1
              }
            }
          }
        }
        expect(uses.every((count) => count === 1)).toBe(true)
        expect(schedule.plan(schedule.stepsPerEpoch - 1).lastOfEpoch).toBe(true)
      }),
    )
  })
})

describe('the ledger', () => {
  const samples = 130
  const schedule = makeSchedule(config(16, 'vae', 1), samples)
  const report = (step: number, seed: number) => {
    const plan = schedule.plan(step - 1)
    const order = permutation(seed, plan.epoch, samples)
    const batches = plan.batches.map((range) => sampleChecksum(order.subarray(range.start, range.end)))
    return {
      step,
      epoch: plan.epoch,
      batches,
      images: 16,
      scalars: {},
      skipped: false,
      seconds: 1,
      allReduceSeconds: 0,
      time: 0,
      allReduceBytes: 0,
    }
  }

  it('never loses or repeats a sample, however often and late the steps are reported, and wherever it resumes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 18 }), { maxLength: 200 }),
        fc.integer({ min: 0, max: 17 }),
        u32,
        (reports, resumeAt, seed) => {
          const ledger = new Ledger(schedule, samples, seed)
          const until = (step: number) => {
            for (let next = ledger.steps + 1; next <= step; next++) ledger.commit(report(next, seed))
          }
          until(resumeAt)
          const resumed = new Ledger(schedule, samples, seed)
          resumed.resume(resumeAt, ledger.finishedEpochs())
          for (const step of reports) resumed.commit(report(step, seed)) // those out of order or known are not counted
          for (let next = resumed.steps + 1; next <= 18; next++) resumed.commit(report(next, seed))
          const expected = [0, 1].map((epoch) => ({ epoch, distinct: samples, duplicates: 0, missing: 0 }))
          expect(resumed.coverage()).toEqual(expected)
          expect(resumed.mismatches).toBe(0)
        },
      ),
    )
  })

  it('shows samples as missing that were not fed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), u32, (wrong, seed) => {
        const of = (other: number) => [...permutation(other, 0, samples).subarray((wrong - 1) * 16, wrong * 16)].sort()
        fc.pre(of(seed).join() !== of(seed + 1).join()) // two small batches can hold the same samples
        const ledger = new Ledger(schedule, samples, seed)
        for (let step = 1; step <= 9; step++) ledger.commit(report(step, step === wrong ? seed + 1 : seed))
        const lost = wrong === 9 ? 2 : 16 // the last batch is the smaller one
        expect(ledger.coverage()[0]).toEqual({ epoch: 0, distinct: samples - lost, duplicates: 0, missing: lost })
      }),
    )
  })
})

describe('the wire', () => {
  it('a frame header comes back as it was, and noise is none', () => {
    const header = fc.record({
      kind: fc.integer({ min: 1, max: 5 }),
      run: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      generation: u32,
      step: u32,
      bucket: u16,
      sender: u16,
      segment: u16,
      part: u16,
      offset: u32,
      count: u32,
    })
    fc.assert(fc.property(header, (value) => void expect(decodeFrameHeader(encodeFrameHeader(value))).toEqual(value)))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => void expect(decodeFrameHeader(noise)).toBeNull()),
    )
  })

  it('a control message comes back as it was; noise, and the other direction, are none', () => {
    const natural = fc.nat()
    const sha256 = fc.stringMatching(/^[0-9a-f]{64}$/)
    const identity = fc.record({ generation: natural, step: natural })
    const message: fc.Arbitrary<ToCoordinator> = fc.oneof(
      fc.record({
        kind: fc.constant('hello' as const),
        attempt: fc.nat(),
        protocolVersion: natural,
        workerId: fc.string({ minLength: 1, maxLength: 64 }),
        runId: fc.option(fc.string()),
        member: fc.option(fc.record({ generation: natural })),
        absence: fc.option(fc.constantFrom('stalled' as const, 'cut-off' as const)),
        host: fc.string(),
        processId: natural,
        backend: fc.string(),
        threads: natural,
      }),
      fc.record({ kind: fc.constant('blobRequest' as const), sha256 }),
      fc.record({
        kind: fc.constant('halted' as const),
        generation: natural,
        state: fc.option(identity),
        cause: fc.constantFrom('failed' as const, 'aborted' as const, 'paused' as const),
        reason: fc.string(),
      }),
      fc.record({
        kind: fc.constant('finished' as const),
        generation: natural,
        step: natural,
        weightsSha256: sha256,
        stopped: fc.boolean(),
      }),
    )
    fc.assert(
      fc.property(message, (value) => {
        const bytes = encodeControl(value)
        expect(decodeToCoordinator(bytes)).toEqual(value)
        expect(decodeToWorker(bytes)).toBeNull()
      }),
    )
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        (noise) => void expect([decodeToCoordinator(noise), decodeToWorker(noise)]).toEqual([null, null]),
      ),
    )
  })
})

describe('membership', () => {
  const workerId = fc.constantFrom('a', 'b', 'c', 'd', 'e')
  const generation = fc.integer({ min: 0, max: 4 })
  const step = fc.nat({ max: 20 })
  const state = fc.option(fc.record({ generation, step }))
  const reason = fc.string()
  const event: fc.Arbitrary<MembershipEvent> = fc.oneof(
    fc.record({ kind: fc.constant('hello' as const), workerId }),
    fc.record({
      ...{ kind: fc.constant('ready' as const), workerId, endpoint: fc.constant('tcp://x') },
      ...{ left: generation, state },
    }),
    fc.record({ kind: fc.constant('joined' as const), workerId, generation }),
    fc.record({ kind: fc.constant('heard' as const), workerId }),
    fc.record({
      kind: fc.constant('heartbeat' as const),
      workerId,
      generation,
      step,
      entered: step,
      reduced: step,
      fetched: step,
    }),
    fc.record({ kind: fc.constant('committed' as const), workerId, generation, step, seconds: fc.constant(0.1) }),
    fc.record({ kind: fc.constant('suspect' as const), workerId, generation, suspect: workerId, reason }),
    fc.record({ kind: fc.constant('halted' as const), workerId, generation, state, reason }),
    fc.record({ kind: fc.constant('finished' as const), workerId, generation, step, stopped: fc.boolean() }),
    fc.record({ kind: fc.constant('drain' as const), workerId, reason }),
    fc.record({
      ...{ kind: fc.constant('left' as const), workerId, loss: fc.constant('dead' as const) },
      ...{ certain: fc.boolean(), reason },
    }),
    fc.constant({ kind: 'stopRequested' as const }),
    fc.constant({ kind: 'slept' as const }),
    fc.constant({ kind: 'tick' as const }),
  )

  it('keeps its promises under any sequence of events, sensible or not', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.tuple(event, fc.nat({ max: 1500 })), { maxLength: 120 }),
        (minWorkers, events) => {
          const options = { minWorkers, startWorkers: minWorkers, maxWorkers: 4, faultMs: 3000, orphanMs: 9000 }
          let state = initialMembership({ ...options, heartbeatMs: 250 })
          let now = 0
          const all: MembershipEffect[] = []
          for (const [next, pause] of events) {
            now += pause
            const before = state
            const decision = decide(state, next, now)
            state = decision.state
            all.push(...decision.effects)
            expect(new Set(state.group).size).toBe(state.group.length)
            expect(state.members.size).toBeLessThanOrEqual(8)
            for (const effect of decision.effects) {
              if (before.phase === 'ended') expect(effect.kind).toBe('refuse')
              if (effect.kind !== 'form') continue
              expect(effect.generation).toBeGreaterThan(before.generation)
              const { group, source, state: chosen } = effect.quorum
              expect(group.length).toBeGreaterThanOrEqual(state.stopping ? 1 : minWorkers)
              expect(group.length).toBeLessThanOrEqual(4)
              expect(before.fenced || state.fenced || now >= before.fencedUntil).toBe(true)
              if (source !== null) expect(group[source]?.state).toEqual(chosen)
            }
          }
          const generations = all.flatMap((effect) => (effect.kind === 'form' ? [effect.generation] : []))
          expect(generations).toEqual([...new Set(generations)].sort((a, b) => a - b))
          expect(all.filter(({ kind }) => kind === 'end').length).toBeLessThanOrEqual(1)
        },
      ),
      { numRuns: 1000 },
    )
  })
})

describe('the lane tree', () => {
  it('gives the same sum, bit for bit, however the lanes are shared out', async () => {
    const sizes = fc.record({
      power: fc.integer({ min: 0, max: 4 }),
      worldSize: fc.integer({ min: 1, max: 9 }),
      elements: fc.integer({ min: 1, max: 400 }),
      segmentElements: fc.integer({ min: 20, max: 200 }),
      seed: u32,
    })
    await fc.assert(
      fc.asyncProperty(sizes, async ({ power, worldSize: wanted, elements, segmentElements, seed }) => {
        const lanes = 2 ** power
        const worldSize = Math.min(wanted, lanes)
        const network = new SimulatedNetwork(lcg(seed))
        const transports = Array.from({ length: worldSize }, () => network.create())
        const nodes = transports.map((_, rank) => {
          const { first, last } = lanesOfRank(rank, worldSize, lanes)
          return nodesOf(first, last)
        })
        const ranks = transports.map((transport, rank) => {
          const own = nodes[rank] ?? []
          const data = new Float32Array(own.length * elements)
          for (const [part, { first, lanes: count }] of own.entries())
            data.set(treeSum(first, count, elements), part * elements)
          const group = new DirectAllReduce({
            ...{ run: testRun, generation: 1, rank, worldSize, transport, segmentElements, lanes: nodes },
            memory: plainMemory(data),
          })
          transport.onFrame((header, payload) => group.receive(header, payload))
          transport.connect(transports.map(({ endpoint }, peer) => ({ rank: peer, endpoint })))
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

/** The slow, obvious sum over a subtree: left half + right half. */
function treeSum(first: number, lanes: number, elements: number): Float32Array {
  if (lanes === 1) return rankData(first, elements)
  const right = treeSum(first + lanes / 2, lanes / 2, elements)
  return treeSum(first, lanes / 2, elements).map((value, index) => value + (right[index] ?? 0))
}

describe('direct all-reduce', () => {
  it('equals the naive sum in rank order, bit for bit, in any order of delivery', async () => {
    const sizes = fc.record({
      worldSize: fc.integer({ min: 1, max: 9 }),
      elements: fc.nat({ max: 3000 }),
      segmentElements: fc.integer({ min: 1, max: 700 }),
      seed: u32,
    })
    await fc.assert(
      fc.asyncProperty(sizes, async ({ worldSize, elements, segmentElements, seed }) => {
        const segment = Math.max(segmentElements, Math.ceil(elements / 20))
        const network = new SimulatedNetwork(lcg(seed))
        const transports = Array.from({ length: worldSize }, () => network.create())
        const data = transports.map((_, rank) => rankData(rank, elements))
        const groups = transports.map((transport, rank) => {
          const group = new DirectAllReduce({
            run: testRun,
            generation: 1,
            rank,
            worldSize,
            transport,
            memory: plainMemory(data[rank] ?? new Float32Array()),
            segmentElements: segment,
          })
          transport.onFrame((header, payload) => group.receive(header, payload))
          transport.connect(transports.map(({ endpoint }, peer) => ({ rank: peer, endpoint })))
          return group
        })
        await Promise.all(groups.map((group) => group.allReduce(0, 0, [0], elements)))
        const expected = sumInRankOrder(worldSize, elements)
        for (const values of data) expect(values).toEqual(expected)
      }),
      { numRuns: 60 },
    )
  })
})
