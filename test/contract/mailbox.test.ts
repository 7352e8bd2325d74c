import { afterEach, describe, expect, it } from 'vitest'
import { AllReduceGroup } from '../../shared/collective/all-reduce.ts'
import { createSharedMemory, loadKernel } from '../../shared/kernel/kernel.ts'
import { encodeOffer, type HostFiles, type Place } from '../../shared/protocol/file-lane.ts'
import { encodeFrameHeader, frameKind } from '../../shared/protocol/frame.ts'
import { OwnFile, PeerFile } from '../../shared/transport/lane-file.ts'
import { Mailbox } from '../../shared/transport/mailbox.ts'
import { HostReduction } from '../../worker/host-reduction.ts'
import { counter } from '../../worker/thread-messages.ts'
import { available } from '../support/cli.ts'
import { plainMemory, rankData, sumInRankOrder, testRun } from '../support/ranks.ts'

const shared = available(OwnFile.create() !== null, '/dev/shm')
const open: { close(): void }[] = []

afterEach(() => {
  for (const each of open.splice(0)) each.close()
})

describe.skipIf(!shared)('mailboxes', () => {
  it('bring frames in order, also more than fit at once, and payloads as they were', () => {
    const [first, second] = mailboxes(2)
    const frames = 300
    const got: number[] = []
    if (second)
      second.onFrame = (headerBytes, payload) => {
        const body = new Uint8Array(payload.byteLength)
        payload.copyTo(body)
        got.push(Buffer.from(headerBytes).readUInt32LE(20))
        expect(body.every((byte) => byte === (got.length - 1) % 256)).toBe(true)
      }
    for (let index = 0; index < frames; index++) {
      const place = { plane: 0, offset: index * 16 }
      first?.send([1], header(index), new Uint8Array(16).fill(index % 256), place)
    }
    expect(got).toEqual([])
    for (let turn = 0; turn < 20; turn++) {
      second?.poll()
      first?.poll()
    }
    expect(got).toEqual(Array.from({ length: frames }, (_, index) => index))
    expect(second?.poll()).toBe(false)
  })

  it('pass over a slot that is half written, and take it once it is whole', () => {
    const files = [create(), create()]
    const [, second] = openAll(files)
    const got: number[] = []
    if (second) second.onFrame = (bytes) => got.push(Buffer.from(bytes).readUInt32LE(20))
    const [spy] = openAll([create(), create()])
    const written: Uint8Array[] = []
    const slot = new Uint8Array(64)
    const original = OwnFile.prototype.write
    OwnFile.prototype.write = function (bytes, place) {
      if (bytes.byteLength === 64) written.push(Uint8Array.from(bytes))
      original.call(this, bytes, place)
    }
    try {
      spy?.send([1], header(5), new Uint8Array(16), { plane: 0, offset: 0 })
    } finally {
      OwnFile.prototype.write = original
    }
    slot.set(written[0] ?? slot)
    const place = { plane: 4, offset: 64 * (1024 + 64 + 1) }
    slot[20] = (slot[20] ?? 0) ^ 1
    files[0]?.write(slot, place)
    second?.poll()
    expect(got).toEqual([])
    files[0]?.write(written[0] ?? slot, place)
    second?.poll()
    expect(got).toEqual([5])
  })

  it.each([
    ['direct', 2],
    ['direct', 5],
    ['exchange', 2],
    ['exchange', 4],
  ] as const)('carry %s over %i ranks, again and again in the same memory', async (algorithm, worldSize) => {
    const elements = 10_007
    const boxes = mailboxes(worldSize)
    const ranks = boxes.map((transport, rank) => {
      const data = rankData(rank, elements)
      const group = new AllReduceGroup({
        ...{ run: testRun, generation: 1, rank, worldSize, transport, segmentElements: 512 },
        ...{ algorithm: () => algorithm, memory: plainMemory(data) },
      })
      transport.onFrame = (bytes, payload) => group.receive(bytes, payload)
      return { data, group, transport }
    })
    const expected = sumInRankOrder(worldSize, elements)
    for (let step = 0; step < 4; step++) {
      for (const [rank, { data }] of ranks.entries()) data.set(rankData(rank, elements))
      let done = 0
      const finals = ranks.map(() => new Uint8Array(elements))
      const all = ranks.map(({ data, group }, rank) =>
        group
          .allReduce(step, 0, [0], elements, 0, (first, count) => {
            expect(data.subarray(first, first + count)).toEqual(expected.subarray(first, first + count))
            const times = finals[rank]?.subarray(first, first + count)
            times?.set(times.map((time) => time + 1))
          })
          .then(() => done++),
      )
      while (done < worldSize) {
        for (const { transport } of ranks) transport.poll()
        await null
      }
      await Promise.all(all)
      for (const { data } of ranks) expect(data).toEqual(expected)
      for (const times of finals)
        expect(
          times.every((time) => time === 1),
          'each element is final once',
        ).toBe(true)
    }
  })
})

describe.skipIf(!shared)('reductions by the main thread', () => {
  it('add up, and tell how far they are', async () => {
    const ranks = reductions(3)
    const bytes = await Promise.all(ranks.map(({ reduction }) => reduction.allReduce(0, 0, [0], 100, 0)))
    expect(bytes).toEqual([800, 800, 800])
    for (const { values, counters } of ranks) {
      expect(values.every((value) => value === 6)).toBe(true)
      expect([counters[counter.entered], counters[counter.reduced]]).toEqual([1, 1])
    }
  })

  it('end by an abort while they wait, and so do later ones', async () => {
    const [first] = reductions(2)
    const waiting = first?.reduction.allReduce(0, 0, [0], 100, 0)
    setTimeout(() => Atomics.store(first?.counters ?? new Int32Array(9), counter.aborted, 1), 50)
    await expect(waiting).rejects.toThrow('aborted')
    await expect(first?.reduction.allReduce(1, 0, [0], 100, 0)).rejects.toThrow('aborted')
    expect(first?.counters[counter.reduced]).toBe(0)
  })

  it('take over from the communication thread without touching what a peer may still read of it', async () => {
    const [first, second] = reductions(2)
    if (!first || !second) throw new Error('there are two ranks')
    const [file, peer] = [OwnFile.again(first.file.offer), PeerFile.open(encodeOffer(first.file.offer))]
    if (!file || !peer) throw new Error('the file is there')
    open.push(file, peer)
    const places: Place[] = []
    const link = new AllReduceGroup({
      ...{ run: testRun, generation: 1, rank: 0, worldSize: 2, algorithm: () => 'exchange' as const },
      ...{ memory: plainMemory(Float32Array.from(first.values)) },
      transport: {
        send(_ranks, _header, payload, place = null) {
          if (!place) throw new Error('it has a place')
          places.push(place)
          file.write(payload, place)
        },
      },
    })
    link.allReduce(0, 0, [0], 100).catch(() => {}) // its peer has not read it yet
    first.values.fill(7)
    await Promise.all([first, second].map(({ reduction }) => reduction.allReduce(1, 0, [0], 100, 0)))
    const read = new Float32Array(100)
    for (const place of places) peer.payload(place, 400).copyTo(new Uint8Array(read.buffer))
    expect(places).toHaveLength(1)
    expect(read.every((value) => value === 1)).toBe(true)
  })

  it('are left to the communication thread for other algorithms', () => {
    expect(reductions(2, 'ring')).toEqual([])
  })
})

function create(): OwnFile {
  const file = OwnFile.create()
  if (!file) throw new Error('/dev/shm was there before')
  open.push(file)
  return file
}

function openAll(files: readonly OwnFile[]): Mailbox[] {
  return filesOf(files).flatMap((some, rank) => {
    const mailbox = Mailbox.open(rank, some)
    if (mailbox) open.push(mailbox)
    return mailbox ? [mailbox] : []
  })
}

const mailboxes = (count: number) => openAll(Array.from({ length: count }, create))

function filesOf(files: readonly OwnFile[]): HostFiles[] {
  const offers = files.map(({ offer }) => encodeOffer(offer))
  return offers.map((own, rank) => ({
    ...{ generation: 1, own },
    peers: [...offers.entries()].filter(([other]) => other !== rank),
  }))
}

/** Rank r has 100 times r + 1. */
function reductions(count: number, algorithm: 'auto' | 'ring' = 'auto') {
  const peers = Array.from({ length: count }, (_, rank) => ({ rank, workerId: `w${rank}`, endpoint: '' }))
  const created = Array.from({ length: count }, create)
  return filesOf(created).flatMap((files, rank) => {
    const memory = createSharedMemory(1 << 20)
    const values = new Float32Array(memory.buffer, 0, 100).fill(rank + 1)
    const counters = new Int32Array(new SharedArrayBuffer(4 * counter.count))
    const plan = { generation: 1, rank, peers, lanes: null, algorithm, wire: 'auto' as const, hub: false, stages: 1 }
    const reduction = HostReduction.open({
      ...{ run: testRun, plan, files, kernel: loadKernel(memory), memory },
      ...{ scratch: { offset: 1 << 19, bytes: 1 << 16 }, counters },
    })
    if (reduction) open.push(reduction)
    const file = created[rank]
    return reduction && file ? [{ reduction, values, counters, file }] : []
  })
}

function header(step: number): Uint8Array {
  return encodeFrameHeader({
    ...{ kind: frameKind.contribution, run: testRun, generation: 1, step, bucket: 0, sender: 0 },
    ...{ segment: 0, part: 0, offset: 0, count: 4 },
  })
}
