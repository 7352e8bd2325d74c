import { afterEach, describe, expect, it } from 'vitest'
import { curveKeyPair } from 'zeromq'
import { encodeFrameHeader, frameKind } from '../../shared/protocol/frame.ts'
import type { Transport } from '../../shared/transport/transport.ts'
import { openZeromqTransport } from '../../shared/transport/zeromq-transport.ts'
import { groupOf, testRun, transportKinds } from '../support/ranks.ts'

describe.each(transportKinds)('$name transport', ({ name, wire, open }) => {
  let transports: Transport[] = []
  const openTwo = async (): Promise<[Transport, Transport]> => {
    transports = await open(2)
    const [first, second] = transports
    if (!first || !second) throw new Error('two transports were asked for')
    return [first, second]
  }

  afterEach(() => {
    for (const transport of transports) transport.close()
  })

  it('delivers frames of one sender in order, as they were when they were sent', async () => {
    const [first, second] = await openTwo()
    const frames = 200
    const received = collect(second, frames)
    first.connect(groupOf(0, [{ rank: 1, endpoint: second.endpoint }]))
    const payload = new Uint8Array(5000)
    for (let index = 0; index < frames; index++) {
      payload.fill(index)
      first.send([1], header(index), payload)
    }
    payload.fill(255) // `send` has copied
    for (const [index, { header, body }] of (await received).entries()) {
      expect(header).toEqual(index)
      expect(body.every((byte) => byte === index)).toBe(true)
    }
  })

  it('reports a peer that goes', async () => {
    const [first, second] = await openTwo()
    const lost = new Promise<number>((resolve) => first.onLost(resolve))
    const arrived = collect(second, 1)
    first.connect(groupOf(0, [{ rank: 7, endpoint: second.endpoint }]))
    first.send([7], header(1), new Uint8Array(0))
    await arrived
    second.close()
    expect(await lost).toBe(7)
  })

  it('moves payloads to one or many, side by side in two planes, through a file where there is one', async () => {
    const transports = await open(3)
    const peers = transports.map(({ endpoint }, rank) => ({ rank, endpoint }))
    const greeted = transports.map((transport) => collect(transport, 2))
    for (const [rank, transport] of transports.entries()) {
      const others = peers.filter((peer) => peer.rank !== rank)
      transport.connect(groupOf(rank, others, { wire }))
    }
    for (const [rank, transport] of transports.entries())
      transport.send(
        [0, 1, 2].filter((other) => other !== rank),
        header(rank),
        new Uint8Array(0),
      )
    await Promise.all(greeted) // offers came before
    const again = transports.map((transport) => collect(transport, 2))
    for (const [rank, transport] of transports.entries())
      transport.send(
        [0, 1, 2].filter((other) => other !== rank),
        header(rank),
        new Uint8Array(0),
      )
    await Promise.all(again) // and acceptances before these
    const received = transports.slice(1).map((transport) => collect(transport, 3))
    const view = new Uint8Array(400)
    const offset = 2 ** 32 - 400
    transports[0]?.send([1, 2], header(7, 100), view.fill(1), { plane: 0, offset })
    transports[0]?.send([1, 2], header(8, 100), view.fill(2), { plane: 1, offset })
    transports[0]?.send([1, 2], header(9, 100), view.fill(3))
    for (const frames of await Promise.all(received)) {
      expect(frames.map((frame) => [frame.header, frame.body.length, frame.body[0], frame.body.at(-1)])).toEqual([
        [7, 400, 1, 1],
        [8, 400, 2, 2],
        [9, 400, 3, 3],
      ])
      expect(frames.map(({ held }) => held)).toEqual(name === 'shm' ? [0, 0, 400] : [400, 400, 400])
    }
    for (const transport of transports) transport.close()
  })

  it('drops what was queued when it disconnects, and connects again', async () => {
    const [first, second] = await openTwo()
    first.connect(groupOf(0, [{ rank: 1, endpoint: second.endpoint }]))
    first.disconnect()
    const received = collect(second, 1)
    first.connect(groupOf(0, [{ rank: 1, endpoint: second.endpoint }]))
    first.send([1], header(42), Uint8Array.of(9))
    expect((await received)[0]?.header).toBe(42)
  })
})

describe('secured zeromq transport', () => {
  it('delivers to whoever has the keys, and nothing from one without', async () => {
    const [a, b] = [curveKeyPair(), curveKeyPair()]
    const first = await openZeromqTransport('tcp://127.0.0.1:0', { security: a })
    const second = await openZeromqTransport('tcp://127.0.0.1:0', { security: b })
    const stranger = await openZeromqTransport('tcp://127.0.0.1:0')
    try {
      const received = collect(second, 1)
      stranger.connect(groupOf(0, [{ rank: 1, endpoint: second.endpoint }]))
      stranger.send([1], header(1), Uint8Array.of(1))
      first.connect(groupOf(0, [{ rank: 1, endpoint: second.endpoint, publicKey: b.publicKey }]))
      first.send([1], header(2), Uint8Array.of(2))
      expect((await received)[0]?.header).toBe(2)
    } finally {
      for (const transport of [first, second, stranger]) transport.close()
    }
  })
})

/** A frame of rank 0 that carries a number. */
function header(segment: number, count = 0): Uint8Array {
  return encodeFrameHeader({
    ...{ kind: frameKind.contribution, run: testRun, generation: 1, step: 0, bucket: 0, sender: 0 },
    ...{ segment, part: 0, offset: 0, count },
  })
}

function collect(transport: Transport, count: number): Promise<{ header: number; body: Uint8Array; held: number }[]> {
  return new Promise((resolve) => {
    const frames: { header: number; body: Uint8Array; held: number }[] = []
    transport.onFrame((header, payload) => {
      const body = new Uint8Array(payload.byteLength)
      payload.copyTo(body)
      frames.push({ header: Buffer.from(header).readUInt16LE(28), body, held: payload.heldBytes })
      if (frames.length === count) resolve(frames)
    })
  })
}
