import { afterEach, describe, expect, it } from 'vitest'
import { curveKeyPair } from 'zeromq'
import type { Transport } from '../../shared/transport/transport.ts'
import { openZeromqTransport } from '../../shared/transport/zeromq-transport.ts'
import { transportKinds } from '../support/ranks.ts'

describe.each(transportKinds)('$name transport', ({ open }) => {
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
    first.connect([{ rank: 1, endpoint: second.endpoint }])
    const payload = new Uint8Array(5000)
    for (let index = 0; index < frames; index++) {
      payload.fill(index)
      first.send(1, Uint8Array.of(index), payload)
    }
    payload.fill(255) // `send` has copied
    for (const [index, { header, body }] of (await received).entries()) {
      expect([...header]).toEqual([index])
      expect(body.every((byte) => byte === index)).toBe(true)
    }
  })

  it('reports a peer that goes', async () => {
    const [first, second] = await openTwo()
    const lost = new Promise<number>((resolve) => first.onLost(resolve))
    const arrived = collect(second, 1)
    first.connect([{ rank: 7, endpoint: second.endpoint }])
    first.send(7, Uint8Array.of(1), new Uint8Array(0))
    await arrived
    second.close()
    expect(await lost).toBe(7)
  })

  it('drops what was queued when it disconnects, and connects again', async () => {
    const [first, second] = await openTwo()
    first.connect([{ rank: 1, endpoint: second.endpoint }])
    first.disconnect()
    const received = collect(second, 1)
    first.connect([{ rank: 1, endpoint: second.endpoint }])
    first.send(1, Uint8Array.of(42), Uint8Array.of(9))
    expect([...((await received)[0]?.header ?? [])]).toEqual([42])
  })
})

describe('secured zeromq transport', () => {
  it('delivers to whoever has the keys, and nothing from one without', async () => {
    const [a, b] = [curveKeyPair(), curveKeyPair()]
    const first = await openZeromqTransport('tcp://127.0.0.1:0', a)
    const second = await openZeromqTransport('tcp://127.0.0.1:0', b)
    const stranger = await openZeromqTransport('tcp://127.0.0.1:0')
    try {
      const received = collect(second, 1)
      stranger.connect([{ rank: 1, endpoint: second.endpoint }])
      stranger.send(1, Uint8Array.of(1), Uint8Array.of(1))
      first.connect([{ rank: 1, endpoint: second.endpoint, publicKey: b.publicKey }])
      first.send(1, Uint8Array.of(2), Uint8Array.of(2))
      expect([...((await received)[0]?.header ?? [])]).toEqual([2])
    } finally {
      for (const transport of [first, second, stranger]) transport.close()
    }
  })
})

function collect(transport: Transport, count: number): Promise<{ header: Uint8Array; body: Uint8Array }[]> {
  return new Promise((resolve) => {
    const frames: { header: Uint8Array; body: Uint8Array }[] = []
    transport.onFrame((header, body) => {
      frames.push({ header: Uint8Array.from(header), body: Uint8Array.from(body) })
      if (frames.length === count) resolve(frames)
    })
  })
}
