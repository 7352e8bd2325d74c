import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ClockOffset } from '../../coordinator/trace/clock-offset.ts'
import { GroupTrace } from '../../coordinator/trace/group-trace.ts'
import { TraceFile } from '../../coordinator/trace/trace-file.ts'
import { systemClock } from '../../shared/core/clock.ts'
import { limits } from '../../shared/core/limits.ts'
import { decodeTraceRecords, traceKind, traceRecordFloats } from '../../shared/protocol/trace-record.ts'
import { SharedTrace } from '../../worker/trace/trace.ts'
import { temporaryFolder } from '../support/folder.ts'

const kind = traceKind('forward')
const bytesOf = ({ buffer, byteOffset, byteLength }: Float64Array) => new Uint8Array(buffer, byteOffset, byteLength)

describe('what a worker notes', () => {
  it('is kept in order for each thread, and comes out as it went in', () => {
    const trace = new SharedTrace(10)
    trace.begin(3)
    trace.compute.add(kind, 1.5, 2.25, 7, 4)
    trace.compute.add(traceKind('bucket leaves'), 3, 3, 7, 4 * 64 + 1, -1, 1 << 20)
    const other = new SharedTrace(0, trace.memory) // as the other thread sees it
    other.communication.add(traceKind('receive'), 2, 4, 7, 256, 1, 12)
    const taken = other.compute.take(10)
    expect(taken?.dropped).toBe(0)
    expect(decodeTraceRecords(bytesOf(taken?.records ?? new Float64Array(1)))).toMatchObject([
      { kind: { name: 'forward' }, start: 1.5, end: 2.25, generation: 3, step: 7, index: 4, peer: -1, bytes: -1 },
      { kind: { name: 'bucket leaves', form: 'instant' }, start: 3, step: 7, index: 257, bytes: 1 << 20 },
    ])
    expect(trace.communication.take(10)?.records[6]).toBe(1)
    expect(trace.compute.take(10)).toBeNull()
  })

  it('is bounded: what finds no room is counted, and what is there stays', () => {
    const { compute, begin } = open(new SharedTrace(1))
    begin(1)
    for (let index = 0; index < limits.traceRecords + 5; index++) compute.add(kind, index, index)
    const first = compute.take(limits.traceRecords)
    expect(first?.dropped).toBe(5)
    expect(first?.records.length).toBe(limits.traceRecords * traceRecordFloats)
    expect(first?.records[1]).toBe(0)
    for (let index = 0; index < 3; index++) compute.add(kind, index, index) // round the end
    expect(compute.take(limits.traceRecords)).toMatchObject({ dropped: 0, records: { length: 3 * traceRecordFloats } })
  })

  it('ends after so many steps of a generation, for both threads, and begins again with the next', () => {
    const trace = new SharedTrace(2)
    expect(trace.compute.on).toBe(false)
    for (const generation of [1, 2]) {
      trace.begin(generation)
      const steps = Array.from({ length: 4 }, () => {
        trace.step()
        return trace.compute.on && trace.communication.on
      })
      expect(steps).toEqual([true, true, false, false])
      trace.compute.add(kind, 1, 2)
      expect(trace.compute.take(1)).toBeNull()
    }
  })

  it.each([
    ['half a record', Float64Array.of(kind, 1, 2)],
    ['no kind', Float64Array.of(99, 1, 2, 1, 1, 1, 1, 1)],
    ['an end before its start', Float64Array.of(kind, 3, 2, 1, 1, 1, 1, 1)],
    ['a time that is none', Float64Array.of(kind, Number.NaN, 2, 1, 1, 1, 1, 1)],
    ['half a step', Float64Array.of(kind, 1, 2, 1, 0.5, 1, 1, 1)],
  ])('is refused where it is %s', (_, values) => {
    expect(decodeTraceRecords(bytesOf(values))).toBeNull()
  })
})

describe('the offset of a clock', () => {
  it('is found within its bounds, whatever the delays are, and the bounds hold', () => {
    const delay = fc.double({ min: 0.01, max: 50, noNaN: true })
    const sample = fc.record({ there: delay, held: delay, back: delay })
    fc.assert(
      fc.property(
        fc.double({ min: -1e9, max: 1e9, noNaN: true }),
        fc.array(sample, { minLength: 1 }),
        (ahead, samples) => {
          const clock = new ClockOffset()
          let now = 1e6
          for (const { there, held, back } of samples) {
            const received = now + there + ahead
            clock.add({ sent: now, received, answered: received + held, back: now + there + held + back })
            now += 1000
            expect(Math.abs(clock.ms - ahead)).toBeLessThanOrEqual(clock.errorMs + 1e-6)
          }
          const least = Math.min(...samples.slice(-limits.clockSamples).map(({ there, back }) => there + back))
          expect(clock.errorMs).toBeLessThanOrEqual(least + 1e-6)
        },
      ),
    )
  })

  it('stays 0 between processes of one host, whose clocks are one', () => {
    const clock = new ClockOffset()
    for (const [there, back] of [
      [1, 20],
      [9, 0.1],
      [0.2, 0.1],
    ] as const) {
      clock.add({ sent: 100, received: 100 + there, answered: 150, back: 150 + back })
      expect(clock.ms).toBe(0)
    }
  })
})

describe('trace.json', () => {
  const read = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as unknown[]

  it('is whole JSON after every write', () => {
    const path = join(temporaryFolder(), 'trace.json')
    const file = new TraceFile(path)
    file.append(['{"a":1}'])
    expect(read(path)).toEqual([{ a: 1 }])
    file.append(['{"b":"é"}', '{"c":3}'])
    expect(read(path)).toEqual([{ a: 1 }, { b: 'é' }, { c: 3 }])
  })

  it('goes on where a coordinator was killed, in the middle of a write too', () => {
    const path = join(temporaryFolder(), 'trace.json')
    const whole = new TraceFile(path)
    whole.append(['{"a":1}', '{"b":"é"}', '{"c":{"d":3}}'])
    const { length } = readFileSync(path)
    for (let size = length; size >= 0; size--) {
      truncateSync(path, size)
      new TraceFile(path).append(['{"e":5}'])
      const events = read(path)
      expect(events.at(-1)).toEqual({ e: 5 })
      expect([{ a: 1 }, { b: 'é' }, { c: { d: 3 } }].slice(0, events.length - 1)).toEqual(events.slice(0, -1))
      if (size === length) expect(events.length).toBe(4)
      writeFileSync(path, '')
      new TraceFile(path).append(['{"a":1}', '{"b":"é"}', '{"c":{"d":3}}'])
    }
  })

  it('has an end', () => {
    const path = join(temporaryFolder(), 'trace.json')
    const file = new TraceFile(path)
    const large = `{"name":"${'x'.repeat(limits.traceBytes / 4)}"}`
    expect([1, 2, 3, 4].map(() => file.append([large]))).toEqual([true, true, true, false])
    expect(read(path).length).toBe(3)
  })
})

it('moments of a worker whose clock is ahead stand where they were, by the clock of the coordinator', () => {
  const lines: Record<string, unknown>[] = []
  const trace = new GroupTrace({ ...systemClock, now: () => 5000 }, (events) =>
    lines.push(...events.map((line) => JSON.parse(line) as Record<string, unknown>)),
  )
  const heartbeat = (workerId: string, ahead: number) =>
    trace.heartbeat(workerId, {
      ...{ kind: 'heartbeat', attempt: 1, generation: 1, step: 0, residentBytes: 0, tensors: 0, staleFrames: 0 },
      ...{ malformedFrames: 0, entered: 0, reduced: 0, fetched: 0 },
      clock: { pulse: 4000, received: 4001 + ahead, sent: 4999 + ahead },
    })
  const record = (start: number) => bytesOf(Float64Array.of(kind, start, start + 10, 1, 6, 2, -1, -1))
  for (const [workerId, ahead] of [
    ['here', 0],
    ['there', 70_000],
  ] as const) {
    heartbeat(workerId, ahead)
    expect(trace.records(workerId, { kind: 'trace', thread: 'compute', dropped: 0 }, record(4500 + ahead))).toBe(true)
  }
  const [here, there] = lines.filter(({ name }) => name === 'forward')
  expect(here).toMatchObject({ ph: 'X', tid: 1, dur: 10_000, args: { generation: 1, step: 7, phase: 2 } })
  expect(there).toEqual({ ...here, pid: there?.pid })
  expect(there?.pid).not.toBe(here?.pid)
  expect(trace.records('here', { kind: 'trace', thread: 'compute', dropped: 0 }, new Uint8Array(7))).toBe(false)
  expect(trace.records('here', { kind: 'trace', thread: 'compute', dropped: 0 }, null)).toBe(false)
})

function open(trace: SharedTrace) {
  return { compute: trace.compute, begin: (generation: number) => trace.begin(generation) }
}
