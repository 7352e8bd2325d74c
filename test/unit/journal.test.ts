import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Journal, readJournal } from '../../coordinator/journal/journal.ts'
import type { JournalRecord, Snapshot } from '../../coordinator/journal/journal-record.ts'
import { NotedTally } from '../../coordinator/journal/noted-tally.ts'
import { Tally } from '../../coordinator/tally.ts'
import { unknownTopology } from '../../shared/collective/topology.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import { permutation } from '../../shared/core/random.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import { makeSchedule } from '../../shared/core/schedule.ts'
import { temporaryFolder } from '../support/folder.ts'
import { canMakeNamespaces, smallDisk } from '../support/namespaces.ts'

const sampleCount = 100
const seed = 1
const schedule = makeSchedule(resolveConfig({ epochs: 3, batchSize: 10, maxWorkers: 1 }), sampleCount)
const tally = () => new Tally(schedule, sampleCount, seed)

function committed(step: number, generation = 1): JournalRecord {
  const { epoch, batches } = schedule.plan(step - 1)
  const order = permutation(seed, epoch, sampleCount)
  return {
    kind: 'committed',
    generation,
    incidentSeconds: 0,
    step: {
      ...{ step, epoch, images: 10, scalars: { vaeLoss: 200 - step }, skipped: false },
      ...{ seconds: 0.5, allReduceSeconds: 0.1, phaseSeconds: {}, time: 0, allReduceBytes: 7 },
      batches: batches.map(({ start, end }) => sampleChecksum(order.subarray(start, end))),
    },
  }
}

const formed: JournalRecord = {
  kind: 'formed',
  generation: 1,
  group: [{ workerId: 'a', endpoint: 'tcp://a', lanes: 8 }],
  state: { generation: 0, step: 0 },
  topology: unknownTopology(1),
}

function written(records: readonly JournalRecord[]): string {
  const folder = join(temporaryFolder(), 'journal')
  const journal = new Journal(folder, tally().snapshot(0, 0))
  for (const record of records) journal.append(record)
  journal.sync()
  return folder
}

const segment = (folder: string) => join(folder, readdirSync(folder)[0] ?? '')

describe('the journal', () => {
  it('gives back what was noted', () => {
    const records = [
      formed,
      { kind: 'started', generation: 1, topology: unknownTopology(1) } as const,
      committed(1),
      committed(2),
    ]
    expect(readJournal(written(records))?.slice(1)).toEqual(records)
    expect(readJournal(join(temporaryFolder(), 'none'))).toBeNull()
  })

  it('drops what a crash cut off at its end, wherever it was cut', () => {
    const folder = written([formed, committed(1), committed(2)])
    const whole = readFileSync(segment(folder))
    const last = whole.subarray(0, -1).lastIndexOf(10) + 1
    for (const length of [last, last + 1, last + 20, whole.length - 1]) {
      writeFileSync(segment(folder), whole.subarray(0, length))
      expect(readJournal(folder)?.map(({ kind }) => kind)).toEqual(['snapshot', 'formed', 'committed'])
    }
    writeFileSync(segment(folder), whole)
    appendFileSync(segment(folder), '00000000 {"kind":"started","generation":1}\n')
    expect(readJournal(folder)).toHaveLength(4)
  })

  it('is an error where it is damaged before its end', () => {
    const folder = written([formed, committed(1)])
    const bytes = readFileSync(segment(folder))
    bytes[20] = (bytes[20] ?? 0) ^ 1
    writeFileSync(segment(folder), bytes)
    expect(() => readJournal(folder)).toThrow(/is damaged at byte 0; remove the folder journal/)
  })

  it('stays small: a snapshot takes the place of what came before, and adds up to the same', () => {
    const folder = join(temporaryFolder(), 'journal')
    const first = tally()
    const notes = new NotedTally(first, folder, 0, () => {})
    for (const record of [formed, { kind: 'started', generation: 1, topology: unknownTopology(1) } as const])
      notes.note(record)
    for (let step = 1; step <= 14; step++) {
      notes.note(committed(step))
      if (step === 12) notes.compact(12, 6)
    }
    notes.sync(12)
    expect(notes.step).toBe(14)
    expect(readdirSync(folder)).toHaveLength(1)
    const records = readJournal(folder) ?? []
    expect(records).toHaveLength(3)
    const second = tally()
    for (const record of records) second.apply(record)
    const sum = (from: Tally): Snapshot => from.snapshot(12, 6)
    expect(sum(second)).toEqual(sum(first))
    expect(second.ledger.coverage()).toEqual(first.ledger.coverage())
    expect(second.ledger.coverage()[0]).toEqual({ epoch: 0, distinct: 100, duplicates: 0, missing: 0 })
  })

  it.skipIf(!canMakeNamespaces)('on a full disk nothing counts as noted; once there is room, everything does', () => {
    const folder = temporaryFolder()
    const disk = smallDisk(folder, 1)
    try {
      const troubles: (string | null)[] = []
      const notes = new NotedTally(tally(), join(folder, 'journal'), 0, (reason) => troubles.push(reason))
      const filler = join(folder, 'filler')
      writeFileSync(filler, Buffer.alloc(900_000))
      try {
        appendFileSync(filler, Buffer.alloc(200_000))
      } catch {
        // full, as it should be
      }
      for (let step = 1; step <= 30; step++) notes.note(committed(step))
      notes.sync(0)
      expect(notes.step).toBe(0)
      expect(troubles.at(-1)).toMatch(/the journal cannot be written: ENOSPC/)
      writeFileSync(filler, '')
      notes.sync(0)
      expect(notes.step).toBe(30)
      expect(troubles.at(-1)).toBeNull()
      const [snapshot] = readJournal(join(folder, 'journal')) ?? []
      expect(snapshot?.ledger.step).toBe(30)
      notes.remove()
    } finally {
      disk.remove()
    }
  })
})
