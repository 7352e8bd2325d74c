import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { decodeToCoordinator, decodeToWorker, encodeControl, encodeForm } from '../../shared/protocol/control.ts'
import { decodeOffer, decodePlace, encodeOffer, encodePlace } from '../../shared/protocol/file-lane.ts'
import {
  decodeFrameHeader,
  encodeFrameHeader,
  frameHeaderBytes,
  frameKind,
  runTag,
} from '../../shared/protocol/frame.ts'
import {
  decodeStreamGreeting,
  decodeStreamOffer,
  encodeStreamGreeting,
  encodeStreamOffer,
} from '../../shared/protocol/stream-link.ts'
import { root } from '../support/cli.ts'

const text = readFileSync(join(root, 'docs/protocol.md'), 'utf8')

function golden(name: string): Buffer {
  const block = new RegExp(`\`\`\`golden ${name}\\n([^\`]*)\`\`\``).exec(text)
  expect(block, name).not.toBeNull()
  return Buffer.from((block?.[1] ?? '').replaceAll(/\s/g, ''), 'hex')
}

describe('the bytes that docs/protocol.md gives', () => {
  const header = {
    kind: frameKind.contribution,
    run: runTag('golden'),
    generation: 3,
    step: 41,
    bucket: 8,
    sender: 1,
    segment: 0,
    part: 0,
    offset: 16,
    count: 2,
  }
  const hello = {
    kind: 'hello' as const,
    protocolVersion: 10,
    workerId: 'w0',
    attempt: 1,
    runId: null,
    member: null,
    absence: null,
    host: 'h',
    processId: 7,
    backend: 'wasm 4.22.0',
    threads: 1,
    cores: 2,
    metrics: '10.0.0.2:9465',
  }

  it('are a data frame', () => {
    const bytes = golden('data-frame')
    expect(decodeFrameHeader(bytes.subarray(0, frameHeaderBytes))).toEqual(header)
    const payload = new Uint8Array(Float32Array.of(1, -2.5).buffer)
    expect(Buffer.concat([encodeFrameHeader(header), payload]).equals(bytes)).toBe(true)
  })

  it('are the offer of a file', () => {
    const bytes = golden('file-offer')
    const offer = { ...header, kind: frameKind.fileOffer, step: 0, bucket: 0, offset: 0, count: 10 }
    expect(decodeFrameHeader(bytes.subarray(0, frameHeaderBytes))).toEqual(offer)
    const nonce = Uint8Array.from({ length: 32 }, (_, index) => index)
    const payload = encodeOffer({ processId: 7, descriptor: 21, nonce })
    expect(Buffer.concat([encodeFrameHeader(offer), payload]).equals(bytes)).toBe(true)
    expect(decodeOffer(payload)).toEqual({ processId: 7, descriptor: 21, nonce: Buffer.from(nonce) })
    expect(decodeOffer(payload.subarray(1))).toBeNull()
  })

  it('are the offer of streams, and what is said on one', () => {
    const bytes = golden('stream-offer')
    const offer = { ...header, kind: frameKind.streamOffer, step: 0, bucket: 0, offset: 0, count: 10 }
    const nonce = Buffer.from(Uint8Array.from({ length: 32 }, (_, index) => index))
    const payload = encodeStreamOffer({ port: 7119, streams: 2, nonce })
    expect(decodeFrameHeader(bytes.subarray(0, frameHeaderBytes))).toEqual(offer)
    expect(Buffer.concat([encodeFrameHeader(offer), payload]).equals(bytes)).toBe(true)
    expect(decodeStreamOffer(payload, 8)).toEqual({ port: 7119, streams: 2, nonce })
    expect(decodeStreamOffer(payload, 1)).toBeNull()
    expect(decodeStreamOffer(payload.subarray(1), 8)).toBeNull()
    const greeting = golden('stream-greeting')
    expect(decodeStreamGreeting(greeting)).toEqual({ nonce, rank: 0, index: 1 })
    expect(Buffer.from(encodeStreamGreeting({ nonce, rank: 0, index: 1 })).equals(greeting)).toBe(true)
    expect(decodeStreamGreeting(greeting.subarray(1))).toBeNull()
  })

  it('are the place of a payload', () => {
    const place = Buffer.from('010000000000008000002000', 'hex')
    expect(decodePlace(place)).toEqual({ plane: 1, offset: 2 ** 31, byteLength: 2_097_152 })
    expect(Buffer.from(encodePlace({ plane: 1, offset: 2 ** 31 }, 2_097_152)).equals(place)).toBe(true)
    expect(decodePlace(place.subarray(1))).toBeNull()
  })

  it('are a hello', () => {
    expect(decodeToCoordinator(golden('hello'))).toEqual(hello)
    expect(Buffer.from(encodeControl(hello)).equals(golden('hello'))).toBe(true)
  })

  it('every kind of message is named', () => {
    const kinds = [
      ...readFileSync(join(root, 'shared/protocol/control.ts'), 'utf8').matchAll(/kind: z\.literal\('(\w+)'\)/g),
    ].map(([, kind]) => kind)
    expect(kinds.length).toBeGreaterThan(20)
    for (const kind of kinds) expect(text).toContain(`\`${kind}\``)
  })
})

it('a form that is encoded once for all ranks is what each would have been told', () => {
  const peers = Array.from({ length: 300 }, (_, rank) => ({ workerId: `w${rank}`, rank, endpoint: `tcp://h:${rank}` }))
  const state = { generation: 2, step: 70_000 }
  const form = {
    kind: 'form' as const,
    generation: 3,
    peers,
    deal: peers.map((_, rank) => (rank % 7) + 1),
    state,
    source: 299,
    restore: null,
    rollbacks: 1,
    hub: false,
  }
  const encoded = encodeForm(form)
  const bytes = [0, 1, 127, 128, 255, 256, 299].map((rank) => [rank, encoded(rank)] as const)
  for (const [rank, message] of bytes) expect(decodeToWorker(message)).toEqual({ ...form, rank })
})
