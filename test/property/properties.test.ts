import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bestDeal } from '../../coordinator/membership/best-deal.ts'
import { Ledger } from '../../coordinator/schedule/ledger.ts'
import { type RunConfig, resolveConfig } from '../../shared/core/config.ts'
import { permutation } from '../../shared/core/random.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import { dealtLanes, makeSchedule, rowsOfLane } from '../../shared/core/schedule.ts'
import {
  decodeToCoordinator,
  decodeToWorker,
  encodeControl,
  type ToCoordinator,
} from '../../shared/protocol/control.ts'
import { decodeFrameHeader, encodeFrameHeader } from '../../shared/protocol/frame.ts'

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
      shares: fc.array(fc.nat(8), { minLength: 1, maxLength: 32 }),
      updates: fc.integer({ min: 1, max: 6 }),
      gan: fc.boolean(),
    })
    fc.assert(
      fc.property(sizes, ({ samples, batchSize, power, shares, updates, gan }) => {
        const lanes = 2 ** power
        const paces = shares.map((share) => ({ laneSeconds: 1 + share, fixedSeconds: 0 }))
        const deal = bestDeal(paces.slice(0, lanes), lanes)
        const schedule = makeSchedule(config(batchSize, gan ? 'gan' : 'vae', updates), samples)
        const uses = new Uint8Array(samples)
        for (let step = 0; step < schedule.stepsPerEpoch; step++) {
          for (const batch of schedule.plan(step).batches) {
            for (const rank of deal.keys()) {
              const owned = dealtLanes(deal, rank)
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
      phaseSeconds: {},
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
        cores: natural,
        metrics: fc.option(fc.constantFrom('10.0.0.2:9465', '[::1]:80', 'host-1.local:65535')),
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
