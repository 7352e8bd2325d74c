import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { createSharedMemory, loadKernel } from '../../shared/kernel/kernel.ts'
import { encodeOffer } from '../../shared/protocol/file-lane.ts'
import { type FileMapping, FileWindows } from '../../shared/transport/file-windows.ts'
import { OwnFile } from '../../shared/transport/lane-file.ts'
import { loadTensorFlowNode, requireNative } from '../../worker/backend/native/load-native-binding.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { HostReduction } from '../../worker/host-reduction.ts'
import { counter } from '../../worker/thread-messages.ts'
import { available } from '../support/cli.ts'
import { rankData, sumInRankOrder, testRun } from '../support/ranks.ts'

const shared = available(OwnFile.create() !== null, '/dev/shm') && available(findNative() !== null, 'native TensorFlow')
const temporaryFile = 0o20000000 | constants.O_DIRECTORY
const region = { offset: 1 << 20, bytes: 16 << 20 }
const open: { close(): void }[] = []

afterEach(() => {
  for (const each of open.splice(0)) each.close()
})

describe.skipIf(!shared)('windows into files', () => {
  it('have what a file has, then and later, and the other way round', () => {
    const { windows, descriptor } = start()
    const other = openSync(`/proc/self/fd/${descriptor}`, constants.O_RDONLY)
    open.push({ close: () => closeSync(other) })
    const written = windows.bytes(descriptor, 70_001, 9000, true)
    const read = start().windows.bytes(other, 70_001, 9000, false)
    expect(written?.byteLength).toBe(9000)
    for (const value of [1, 2]) {
      written?.fill(value)
      expect(read?.every((byte) => byte === value)).toBe(true)
      const bytes = Buffer.alloc(9000)
      expect(readSync(descriptor, bytes, 0, 9000, 70_001)).toBe(9000)
      expect(bytes.every((byte) => byte === value)).toBe(true)
    }
    writeSync(descriptor, Buffer.from([7]), 0, 1, 70_003)
    expect([read?.[1], read?.[2], written?.[2]]).toEqual([2, 7, 7])
  })

  it('are not had beyond the end of a file, of which a look would end the process, until it is so long', () => {
    const { windows, descriptor } = start()
    ftruncateSync(descriptor, 4095)
    expect(windows.bytes(descriptor, 0, 4000, false)).toBeNull()
    ftruncateSync(descriptor, 4096)
    expect(windows.bytes(descriptor, 0, 4000, false)?.byteLength).toBe(4000)
    expect(windows.bytes(descriptor, 4096, 1, false)).toBeNull()
  })

  it('take their room in the file before they are written, or are not had', () => {
    const { windows, descriptor } = start()
    windows.bytes(descriptor, 1 << 20, 5000, true)
    expect(fstatSync(descriptor).size).toBe((1 << 20) + 8192)
    expect(fstatSync(descriptor).blocks * 512).toBe(8192)
    const readOnly = openSync(`/proc/self/fd/${descriptor}`, constants.O_RDONLY)
    open.push({ close: () => closeSync(readOnly) })
    expect(windows.bytes(readOnly, 0, 5000, true)).toBeNull()
  })

  it('are kept, end with their region, and leave plain memory behind', () => {
    const { windows, descriptor, buffer } = start()
    const first = windows.bytes(descriptor, 0, 8 << 20, true)
    expect(windows.bytes(descriptor, 0, 8 << 20, true)).toBe(first)
    expect(windows.bytes(descriptor, 0, 100, true)?.byteOffset).toBe(first?.byteOffset)
    expect(windows.bytes(descriptor, 8 << 20, (8 << 20) + 1, true)).toBeNull()
    first?.fill(9)
    windows.close()
    const plain = new Uint8Array(buffer, region.offset, region.bytes)
    expect(plain.every((byte) => byte === 0)).toBe(true)
    plain.fill(5)
    const bytes = Buffer.alloc(1)
    readSync(descriptor, bytes, 0, 1, 0)
    expect(bytes[0]).toBe(9)
    expect(windows.bytes(descriptor, 0, 1, true)?.[0]).toBe(9)
  })
})

describe.skipIf(!shared)('reductions of one host through windows', () => {
  it.each([
    [2, 1000],
    [2, 480_000],
    [3, 480_000],
    [3, 2_000_003],
    [6, 300_000],
  ])('have the bits of those through files: %i ranks, %i elements', async (worldSize, elements) => {
    const ranks = reductions(worldSize, elements)
    const expected = sumInRankOrder(worldSize, elements)
    for (let step = 0; step < 4; step++) {
      for (const [rank, { values }] of ranks.entries()) values.set(rankData(rank, elements))
      await Promise.all(ranks.map(({ reduction, offset }) => reduction.allReduce(step, 0, [offset], elements, 0)))
      for (const { values } of ranks) expect(Buffer.compare(bytesOf(values), bytesOf(expected))).toBe(0)
    }
    for (const { mapped } of ranks) expect(mapped.count).toBeGreaterThan(worldSize)
  })

  it('go through the files where there is no more room for a window', async () => {
    const elements = 600_000
    const ranks = reductions(2, elements, 1 << 20)
    for (const [rank, { values }] of ranks.entries()) values.set(rankData(rank, elements))
    await Promise.all(ranks.map(({ reduction, offset }) => reduction.allReduce(0, 0, [offset], elements, 0)))
    for (const { values } of ranks) expect(values).toEqual(sumInRankOrder(2, elements))
  })
})

function start() {
  const binding = loadTensorFlowNode(requireNative('cpu'))
  const { buffer } = createSharedMemory(region.offset + region.bytes)
  const windows = new FileWindows(binding, buffer, region)
  const descriptor = openSync('/dev/shm', temporaryFile | constants.O_RDWR, 0o600)
  open.push(windows, { close: () => closeSync(descriptor) })
  return { windows, descriptor, buffer }
}

function reductions(count: number, elements: number, bytes = 64 << 20) {
  const files = Array.from({ length: count }, () => OwnFile.create()).flatMap((file) => file ?? [])
  open.push(...files)
  const offers = files.map(({ offer }) => encodeOffer(offer))
  const peers = offers.map((_, rank) => ({ rank, workerId: `w${rank}`, endpoint: '' }))
  return offers.flatMap((own, rank) => {
    const others = [...offers.entries()].filter(([other]) => other !== rank)
    const start = 1 << 20
    const first = start + elements * 4 + 64
    const memory = createSharedMemory(first + bytes)
    const counters = new Int32Array(new SharedArrayBuffer(4 * counter.count))
    const mapped = { count: 0 }
    const algorithm = 'auto' as const
    const plan = { generation: 1, rank, peers, lanes: null, algorithm, wire: algorithm, hub: false, stages: 1 }
    const reduction = HostReduction.open({
      ...{ run: testRun, plan, files: { generation: 1, own, peers: others }, kernel: loadKernel(memory), memory },
      ...{ scratch: { offset: 1 << 19, bytes: 1 << 16 }, counters },
      windows: { mapping: counted(mapped), region: { offset: first, bytes } },
    })
    if (reduction) open.push(reduction)
    const values = new Float32Array(memory.buffer, start, elements)
    return reduction ? [{ reduction, values, offset: start, mapped }] : []
  })
}

function counted(mapped: { count: number }): FileMapping {
  const binding = loadTensorFlowNode(requireNative('cpu'))
  return {
    mapFile(...window) {
      const there = binding.mapFile(...window)
      if (there) mapped.count++
      return there
    },
    unmapFile: (target) => binding.unmapFile(target),
  }
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
