import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, it, vi } from 'vitest'
import { limits } from '../../shared/core/limits.ts'
import { encodeFrameHeader, frameKind } from '../../shared/protocol/frame.ts'
import { decodeStreamOffer, encodeStreamGreeting, type StreamOffer } from '../../shared/protocol/stream-link.ts'
import { PiecePool } from '../../shared/transport/piece-pool.ts'
import { StreamLane } from '../../shared/transport/stream-lane.ts'
import { StreamServer } from '../../shared/transport/stream-server.ts'
import type { Payload, Transport } from '../../shared/transport/transport.ts'
import { openZeromqTransport } from '../../shared/transport/zeromq-transport.ts'
import { patience } from '../support/cli.ts'
import { groupOf, testRun } from '../support/ranks.ts'

const closing: { close(): void }[] = []
afterEach(() => {
  for (const open of closing.splice(0)) open.close()
})

const header = encodeFrameHeader({
  ...{ kind: frameKind.contribution, run: testRun, generation: 1, step: 0, bucket: 0, sender: 0 },
  ...{ segment: 0, part: 0, offset: 0, count: 0 },
})

interface End {
  readonly lane: StreamLane
  readonly offer: StreamOffer
  readonly got: Payload[]
  readonly lost: number[]
}

/** Two ends of a link whose offers go from one to the other. */
async function openTwo(): Promise<[End, End]> {
  const servers = await Promise.all([0, 1].map(() => StreamServer.open('127.0.0.1', 0)))
  const peers = [0, 1].map((rank) => ({ rank, endpoint: 'tcp://127.0.0.1:1' }))
  const offers: { header: Uint8Array; payload: Uint8Array }[] = []
  const ends = servers.map((server, rank): End => {
    if (!server) throw new Error('this host has ports')
    const [got, lost]: [Payload[], number[]] = [[], []]
    const lane = new StreamLane({
      group: groupOf(
        rank,
        peers.filter((peer) => peer.rank !== rank),
      ),
      ...{ server, pool: new PiecePool(), send: (_, header, payload) => void offers.push({ header, payload }) },
      deliver: (_, payload) => void got.push(payload),
      placeOf: () => null,
      lost: (other) => void lost.push(other),
    })
    closing.push(server, lane)
    const offer = decodeStreamOffer(offers[rank]?.payload ?? new Uint8Array(0), limits.maxStreamsPerLink)
    if (!offer) throw new Error('a lane offers its streams')
    return { lane, offer, got, lost }
  })
  const [first, second] = ends
  if (!first || !second) throw new Error('two ends were asked for')
  for (const [rank, end] of [second, first].entries()) {
    const { header, payload } = offers[rank] ?? { header: new Uint8Array(0), payload: new Uint8Array(0) }
    end.lane.receive(header, payload)
  }
  await vi.waitUntil(() => first.lane.reaches(1) && second.lane.reaches(0), patience)
  return [first, second]
}

it('a transport sends what has a place by streams, and by ZeroMQ where it is told to', async () => {
  for (const streams of [true, false]) {
    const transports = await Promise.all([0, 1].map(() => openZeromqTransport('tcp://127.0.0.1:0', { streams })))
    closing.push(...transports)
    const [first, second] = transports as [Transport, Transport]
    const held = new Set<number>()
    const payload = new Uint8Array(700_000).map((_, at) => at * 7)
    const body = new Uint8Array(payload.byteLength)
    second.onFrame((_, got) => {
      held.add(got.heldBytes)
      got.copyTo(body)
      got.release?.()
      expect(Buffer.compare(body, payload)).toBe(0)
    })
    for (const [rank, transport] of transports.entries()) {
      const other = rank === 0 ? second : first
      transport.connect(groupOf(rank, [{ rank: 1 - rank, endpoint: other.endpoint }], { wire: 'tcp' }))
    }
    const pieces = Math.ceil(payload.byteLength / limits.pieceBytes) * limits.pieceBytes
    const wanted = streams ? pieces : payload.byteLength // until the streams are there, frames go by ZeroMQ
    await vi.waitUntil(() => {
      first.send([1], header, payload, { plane: 0, offset: 0 })
      return held.has(wanted)
    }, patience)
    expect(held.has(pieces)).toBe(streams)
  }
})

it('a stream that ends while its generation goes on has lost frames; one that ends with it has not', async () => {
  const [first, second] = await openTwo()
  first.lane.close() // as the second sees it, it breaks
  expect(second.lost).toEqual([])
  await vi.waitUntil(() => second.lost.includes(0), patience)
  expect(second.lane.reaches(0)).toBe(false)
  expect(first.lost).toEqual([])
})

it('sends what lasts from where it lies, and nothing of it any more once it is closed', async () => {
  const [first, second] = await openTwo()
  const payload = new Uint8Array(limits.segmentBytes).fill(1)
  first.lane.send([1], header, payload, true)
  await vi.waitUntil(() => second.got.length === 1, patience)
  const sent = 40 // more than the sockets' buffers take, and nobody reads meanwhile
  for (let frame = 0; frame < sent; frame++) first.lane.send([1], header, payload, true)
  first.lane.close()
  payload.fill(2)
  await vi.waitUntil(() => second.lost.length > 0, patience)
  expect(second.got.length).toBeLessThan(sent)
  const body = new Uint8Array(payload.byteLength)
  for (const got of second.got) {
    got.copyTo(body)
    expect(body.every((byte) => byte === 1)).toBe(true)
  }
})

it('tells when what lasts has left, so that its memory may change', async () => {
  const [first, second] = await openTwo()
  const payload = new Uint8Array(limits.segmentBytes).fill(1)
  expect(first.lane.left()).toBeNull()
  for (let frame = 0; frame < 40; frame++) first.lane.send([1], header, payload, true)
  expect(first.lane.left()).not.toBeNull()
  await first.lane.left()
  payload.fill(2)
  await vi.waitUntil(() => second.got.length === 40, patience)
  const body = new Uint8Array(payload.byteLength)
  for (const got of second.got) {
    got.copyTo(body)
    expect(body.every((byte) => byte === 1)).toBe(true)
  }
  first.lane.send([1], header, payload, true)
  const waiting = first.lane.left()
  first.lane.close()
  await waiting
})

it('cuts off whoever does not know the nonce, has no such rank, comes twice, or says more', async () => {
  const [first, second] = await openTwo()
  const { port, nonce } = first.offer
  const wrong = nonce.map((byte) => byte ^ 1)
  const greetings = [
    Buffer.alloc(36),
    encodeStreamGreeting({ nonce: wrong, rank: 1, index: 0 }),
    encodeStreamGreeting({ nonce, rank: 5, index: 0 }),
    encodeStreamGreeting({ nonce, rank: 1, index: limits.streamsPerLink }),
    encodeStreamGreeting({ nonce, rank: 1, index: 0 }),
    Buffer.concat([encodeStreamGreeting({ nonce, rank: 1, index: 0 }), Buffer.alloc(1)]),
  ]
  for (const greeting of greetings) {
    const stranger = connect({ host: '127.0.0.1', port })
    stranger.on('error', () => {})
    stranger.resume()
    stranger.write(greeting)
    await once(stranger, 'close')
  }
  first.lane.send([1], header, new Uint8Array(5))
  await vi.waitUntil(() => second.got.length === 1, patience)
  expect(second.got[0]?.byteLength).toBe(5)
})
