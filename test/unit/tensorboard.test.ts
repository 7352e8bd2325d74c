import { appendFileSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { EventFile } from '../../coordinator/tensorboard/event-file.ts'
import { encodeEvent } from '../../coordinator/tensorboard/event-message.ts'
import { histogramOf } from '../../coordinator/tensorboard/histogram.ts'
import { crc32c, frameRecord, recordsOf } from '../../coordinator/tensorboard/tf-record.ts'
import { temporaryFolder } from '../support/folder.ts'

describe('records', () => {
  it('have the checksums of RFC 3720, B.4', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e)
  })

  it('are read up to the first that is damaged', () => {
    const bytes = Buffer.concat(['a', 'bc', 'def'].map((text) => frameRecord(Buffer.from(text))))
    const texts = (from: Buffer) => recordsOf(from).map(({ data }) => Buffer.from(data).toString())
    expect(texts(bytes)).toEqual(['a', 'bc', 'def'])
    expect(texts(bytes.subarray(0, bytes.length - 1))).toEqual(['a', 'bc'])
    const damaged = Buffer.from(bytes)
    damaged[17 + 12] = 0
    expect(texts(damaged)).toEqual(['a'])
  })
})

describe('an event', () => {
  it('is the protobuf message of TensorFlow', () => {
    const event = encodeEvent({ time: 1, step: 300, values: [{ tag: 'loss', scalar: 0.5 }] })
    const summary = ['2a0d', '0a0b', '0a046c6f7373', '150000003f']
    expect(Buffer.from(event).toString('hex')).toBe(`09000000000000f03f10ac02${summary.join('')}`)
  })
})

describe('an event file', () => {
  it('goes on without a step twice, and without what a crash has cut off', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.0.r')
    const first = new EventFile(path, 0, 1 << 20)
    for (const step of [100, 200, 300, 250]) first.add(step, step, [{ tag: 'loss', scalar: step }])
    appendFileSync(path, Buffer.from([1, 2, 3]))
    const second = new EventFile(path, 250, 1 << 20)
    second.add(1, 251, [{ tag: 'loss', scalar: 1 }])
    const steps = recordsOf(readFileSync(path)).map(({ data }) => Buffer.from(data).toString('hex', 9, 12))
    expect(steps).toEqual(
      ['10001a', '106409', '10c801', '10fa01', '10fb01'].map((hex) => expect.stringMatching(hex.slice(0, 4))),
    )
    expect(steps).toHaveLength(5)
  })

  it('is bounded', () => {
    const path = join(temporaryFolder(), 'events.out.tfevents.0.r')
    const file = new EventFile(path, 0, 200)
    const added = Array.from({ length: 10 }, (_, step) => file.add(1, step, [{ tag: 'loss', scalar: 1 }]))
    expect(added).toContain(true)
    expect(added.at(-1)).toBe(false)
    expect(statSync(path).size).toBeLessThanOrEqual(200)
  })
})

describe('a histogram', () => {
  it('counts every value once', () => {
    const found = histogramOf(Float32Array.from([-1, 0, 0.5, 2, Number.NaN]))
    expect(found).toMatchObject({ min: -1, max: 2, count: 4, sum: 1.5, squares: 5.25 })
    expect(found?.counts.reduce((sum, count) => sum + count, 0)).toBe(4)
    expect(found?.limits.at(-1)).toBe(2)
    expect(histogramOf(Float32Array.from([Number.NaN]))).toBeNull()
    expect(histogramOf(new Float32Array(3))).toMatchObject({ limits: [0], counts: [3] })
    expect(histogramOf(new Float32Array(1_000_000))?.count).toBeLessThanOrEqual(65_536)
  })
})
