import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { prepareRun, type RunRequest } from '../../coordinator/prepare-run.ts'
import { RunRecord } from '../../coordinator/run-record.ts'
import type { RunObserver } from '../../coordinator/summary.ts'
import { unknownTopology } from '../../shared/collective/topology.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import { limits } from '../../shared/core/limits.ts'
import { permutation } from '../../shared/core/random.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import type { ImageDataset } from '../../shared/dataset/image-dataset.ts'
import { readJson, readLines } from '../support/cli.ts'
import { temporaryFolder } from '../support/folder.ts'

const part = { count: 100, images: new Uint8Array(100 * 16), labels: new Uint8Array(100) }
const dataset: ImageDataset = { name: 'tiny', height: 4, width: 4, channels: 1, train: part, test: part }
const silent: RunObserver = { group() {}, committed() {}, checkpoint() {}, incident() {} }

/** A coordinator's record of a run; `again`: by one that comes after a crash. */
function opened(path: string, options: Partial<RunConfig>, again = false): RunRecord {
  const about = { name: null, dataDir: null, allowChanges: false }
  const request: RunRequest = again
    ? { ...about, options: {}, runDir: null, resume: path, takeOver: true }
    : { ...about, options: { steps: 1000, batchSize: 10, ...options }, runDir: path, resume: null, takeOver: false }
  return new RunRecord(
    prepareRun(
      request,
      () => {},
      () => dataset,
    ),
    silent,
    0,
  )
}

function form(record: RunRecord, generation: number, step: number): void {
  const group = [{ workerId: 'a', endpoint: 'tcp://a', lanes: 8 }]
  record.formed(generation, group, { generation: generation - 1, step }, 'it is time', false)
  record.started(generation, unknownTopology(1), [], 0)
}

function steps(record: RunRecord, generation: number, count: number, vaeLoss: number): void {
  const { schedule, run } = record
  for (let done = 0; done < count; done++) {
    const step = record.ledger.steps + 1
    const { epoch, batches } = schedule.plan(step - 1)
    const order = permutation(run.config.seed, epoch, part.count)
    record.committed(
      generation,
      {
        ...{ step, epoch, images: 10, scalars: { vaeLoss, vaeGradientNorm: 1 }, skipped: false, seconds: 0.1 },
        ...{ allReduceSeconds: 0, phaseSeconds: {}, time: 0, allReduceBytes: 0 },
        batches: batches.map(({ start, end }) => sampleChecksum(order.subarray(start, end))),
      },
      0,
    )
  }
}

/** Thirty steps that are well, and then ones that diverge. */
function ill(onInstability: RunConfig['onInstability']) {
  const path = join(temporaryFolder(), 'run')
  const record = opened(path, { onInstability })
  form(record, 1, 0)
  steps(record, 1, 30, 100)
  expect(record.stability.due()).toBeNull()
  steps(record, 1, 20, 1000)
  record.sync()
  const kinds = () =>
    readLines(join(path, 'events.jsonl')).filter(({ kind }) => /alarm|intervention/.test(String(kind)))
  return { path, record, kinds, rollbacks: () => readJson(join(path, 'config.json')).rollbacks }
}

describe('--on-instability', () => {
  it('warn: the alarm is told, with when it began, and nothing else happens', () => {
    const { record, kinds, rollbacks } = ill('warn')
    expect(record.stability.due()).toBeNull()
    expect(kinds()).toMatchObject([{ kind: 'alarm', alarm: 'divergence', since: 31 }])
    steps(record, 1, 40, 100)
    expect(kinds()).toMatchObject([{ kind: 'alarm' }, { kind: 'alarm-over', alarm: 'divergence' }])
    expect(rollbacks()).toBe(0)
  })

  it('stop: the run ends as failed', () => {
    const { record } = ill('stop')
    expect(record.stability.due()).toMatchObject({
      kind: 'failRun',
      reason: 'divergence since step 31: the run is stopped',
    })
  })

  it('lower-lr: the group forms again at lower rates, and is asked to until it has', () => {
    const { record, kinds, rollbacks } = ill('lower-lr')
    const due = { kind: 'reform', reason: 'divergence since step 31: goes on at 0.5 of the learning rates' }
    expect(record.stability.due()).toEqual(due)
    expect(record.stability.due()).toEqual(due)
    expect(rollbacks()).toBe(1)
    form(record, 2, 50)
    expect(record.stability.due()).toBeNull()
    expect(kinds().map(({ kind }) => kind)).toEqual(['alarm', 'alarm-over', 'intervention'])
    steps(record, 2, 30, 100)
    steps(record, 2, 30, 1000)
    expect(record.stability.due()).toMatchObject({ reason: expect.stringContaining('0.25') })
  })

  it('rollback: back to before the illness, once, at lower rates', () => {
    const { record, rollbacks } = ill('rollback')
    expect(record.stability.due()).toMatchObject({ kind: 'rollBack', step: 0 })
    expect(record.stability.due()).toBeNull()
    record.rewound(0)
    form(record, 2, 0)
    steps(record, 2, 40, 100)
    expect(record.stability.due()).toBeNull()
    expect(rollbacks()).toBe(1)
  })

  it('rollback: a run that does not get well after some of them fails', () => {
    const { record } = ill('rollback')
    record.run.config.rollbacks = limits.maxRollbacks
    expect(() => record.stability.due()).toThrow('5 roll-backs did not help against divergence')
  })

  it.each(['lower-lr', 'rollback', 'stop'] as const)(
    '%s: a coordinator that comes after a crash does the same, once',
    (action) => {
      const before = ill(action)
      before.record.release() // crashed before it came to decide
      const decides = opened(before.path, {}, true)
      const due = decides.stability.due()
      expect(due).not.toBeNull()
      decides.release() // crashed before anybody heard of it
      const carriesOut = opened(before.path, {}, true)
      expect(carriesOut.stability.due()).toEqual(due)
      expect(before.rollbacks()).toBe(action === 'stop' ? 0 : 1)
      expect(before.kinds().filter(({ kind }) => kind === 'intervention')).toHaveLength(1)
      if (action === 'stop') return
      if (action === 'rollback') carriesOut.rewound(0)
      form(carriesOut, 2, action === 'rollback' ? 0 : 50)
      carriesOut.sync()
      carriesOut.release()
      expect(opened(before.path, {}, true).stability.due()).toBeNull()
    },
  )
})
