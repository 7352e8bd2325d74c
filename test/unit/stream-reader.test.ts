import { expect, it } from 'vitest'
import { limits } from '../../shared/core/limits.ts'
import { frameHeaderBytes } from '../../shared/protocol/frame.ts'
import { encodeStreamLead, streamLeadBytes } from '../../shared/protocol/stream-link.ts'
import { PiecePool } from '../../shared/transport/piece-pool.ts'
import { StreamReader } from '../../shared/transport/stream-reader.ts'
import type { Payload } from '../../shared/transport/transport.ts'
import { lcg } from '../support/ranks.ts'

function frameOf(payload: Uint8Array, mark: number): Uint8Array {
  const bytes = new Uint8Array(streamLeadBytes + payload.byteLength)
  encodeStreamLead(bytes, new Uint8Array(frameHeaderBytes).fill(mark), payload.byteLength)
  bytes.set(payload, streamLeadBytes)
  return bytes
}

/** As a socket does: as much as there is, but no more than there is room for. */
function read(reader: StreamReader, bytes: Uint8Array, some: () => number): boolean {
  for (let at = 0; at < bytes.byteLength; ) {
    const { room } = reader
    const count = Math.min(room.byteLength, bytes.byteLength - at, some())
    room.set(bytes.subarray(at, at + count))
    at += count
    if (!reader.filled(count)) return false
  }
  return true
}

it('finds the frames in a stream, however it is cut, and uses memory again that nobody reads any more', () => {
  const pick = lcg(5)
  const sizes = [
    0,
    1,
    4,
    limits.inlineBytes,
    limits.inlineBytes + 1,
    limits.pieceBytes,
    limits.segmentBytes,
    0,
    700_000,
  ]
  const payloads = sizes.map((size, index) => new Uint8Array(size).map((_, at) => (at * 31 + index) & 255))
  const frames = payloads.map((payload, index) => frameOf(payload, index))
  const got: { mark: number | undefined; payload: Payload }[] = []
  const reader = new StreamReader(new PiecePool(), (header, payload) => got.push({ mark: header[0], payload }))
  expect(read(reader, Buffer.concat(frames), () => 1 + pick(200_000))).toBe(true)
  expect(got.map(({ mark }) => mark)).toEqual(payloads.map((_, index) => index))
  const check = () => {
    for (const [index, { payload }] of got.entries()) {
      const whole = new Uint8Array(payload.byteLength)
      payload.copyTo(whole)
      expect(Buffer.compare(whole, payloads[index] ?? whole), `payload ${index}`).toBe(0)
      const part = new Uint8Array(Math.floor(payload.byteLength / 2))
      payload.copyTo(part, part.byteLength)
      expect(Buffer.compare(part, whole.subarray(part.byteLength, 2 * part.byteLength))).toBe(0)
    }
  }
  check()

  const held = got.at(-1)?.payload
  held?.release?.()
  expect(() => held?.copyTo(new Uint8Array(4))).toThrow('a payload that is there is read')
  got.pop()
  read(reader, frames[6] ?? new Uint8Array(0), () => 65_536)
  got.pop()
  check() // those that were not released stay as they are
})

it('reads a payload to where it belongs, where somebody knows', () => {
  const memory = new Uint8Array(2_000_000)
  const places: Readonly<Record<number, Uint8Array>> = {
    1: memory.subarray(64, 300_064),
    2: memory.subarray(1_000_000, 1_000_008),
  }
  const payloads = [300_000, 300_000, 300_000].map((size, index) => new Uint8Array(size).fill(index + 1))
  const got: Payload[] = []
  const reader = new StreamReader(
    new PiecePool(),
    (_, payload) => got.push(payload),
    ([mark = 0]) => places[mark] ?? null,
  )
  expect(read(reader, Buffer.concat(payloads.map(frameOf)), () => 70_001)).toBe(true)
  expect(memory.subarray(64, 300_064).every((byte) => byte === 2)).toBe(true)
  expect(
    memory.subarray(1_000_000).every((byte) => byte === 0),
    'a place of another size is none',
  ).toBe(true)
  expect(got[1]?.heldBytes).toBe(0)
  for (const [index, payload] of got.entries()) {
    const part = new Uint8Array(100_000)
    payload.copyTo(part, 200_000)
    expect(part.every((byte) => byte === index + 1)).toBe(true)
  }
})

it('refuses what is longer than a frame may be', () => {
  const reader = new StreamReader(new PiecePool(), () => {})
  const lead = new Uint8Array(streamLeadBytes)
  encodeStreamLead(lead, new Uint8Array(frameHeaderBytes), limits.segmentBytes + 1)
  expect(read(reader, lead, () => 7)).toBe(false)
})
