import { describe, expect, it } from 'vitest'
import { limits } from '../../shared/core/limits.ts'
import { createSharedMemory } from '../../shared/kernel/kernel.ts'
import { type FrameHeader, frameKind } from '../../shared/protocol/frame.ts'
import { bytesPayload } from '../../shared/transport/transport.ts'
import { Handover } from '../../worker/pipeline/handover.ts'

/** Two stages whose frames arrive when they are told to. */
function makePair(bytes = 1 << 20) {
  const memories = [createSharedMemory(bytes), createSharedMemory(bytes)]
  const frames: [FrameHeader, Uint8Array][] = []
  const failures: string[] = []
  const [from, to] = memories.map(
    (memory, sender) =>
      new Handover(
        memory,
        (_, header, payload) =>
          frames.push([{ ...header, run: 1n, generation: 1, sender, segment: 0, part: 0 }, Uint8Array.from(payload)]),
        (reason) => failures.push(reason),
      ),
  )
  if (!from || !to) throw new Error('there are two')
  const arrive = () => {
    for (const [header, payload] of frames.splice(0)) to.receive(header, bytesPayload(payload))
  }
  const floats = (place: number, offset: number, count: number) =>
    new Float32Array(memories[place]?.buffer ?? new ArrayBuffer(0), offset, count)
  return { from, to, frames, failures, arrive, floats }
}

const parcel = { kind: frameKind.activation, step: 3, microBatch: 2, offset: 64, count: 4 }

describe('what a stage hands over', () => {
  it('comes to its place, whether it is expected first or not', async () => {
    for (const early of [false, true]) {
      const { from, to, arrive, floats } = makePair()
      floats(0, 64, 4).set([1, 2, 3, 4])
      from.give(1, parcel)
      floats(0, 64, 4).fill(0) // may be written over
      if (early) arrive()
      const taken = to.take(0, { ...parcel, offset: 128 })
      arrive()
      expect(await taken).toBe(16)
      expect([...floats(1, 128, 4)]).toEqual([1, 2, 3, 4])
      expect([to.entered, to.taken]).toEqual([1, 1])
    }
  })

  it('comes in pieces where it is large', async () => {
    const count = limits.segmentBytes / 4 + 5
    const { from, to, frames, arrive, floats } = makePair(3 * limits.segmentBytes)
    floats(0, 0, count).fill(7)
    from.give(1, { ...parcel, offset: 0, count })
    expect(frames).toHaveLength(2)
    const taken = to.take(0, { ...parcel, offset: 0, count })
    arrive()
    await taken
    expect(floats(1, 0, count).every((value) => value === 7)).toBe(true)
  })

  it('is of one step, micro-batch and direction', async () => {
    const { from, to, arrive } = makePair()
    const others = [{ step: 4 }, { microBatch: 3 }, { kind: frameKind.activationGradient }]
    for (const other of others) from.give(1, { ...parcel, ...other })
    let there = false
    const taken = to.take(0, parcel).then(() => {
      there = true
    })
    arrive()
    await Promise.resolve()
    expect(there).toBe(false)
    from.give(1, parcel)
    arrive()
    await taken
  })

  it('that has another size fails the generation', () => {
    const { from, to, failures, arrive } = makePair()
    void to.take(0, parcel).catch(() => {})
    from.give(1, { ...parcel, count: 5 })
    arrive()
    expect(failures).toEqual(['rank 0 cut micro-batch 2 of step 3 otherwise'])
    expect(to.malformedFrames).toBe(1)
  })

  it('ahead of time is bounded', () => {
    const { to, failures } = makePair()
    const header = { ...{ run: 1n, generation: 1, step: 3, sender: 0, segment: 0, part: 0 }, offset: 0, count: 4 }
    const huge = { ...bytesPayload(new Uint8Array(16)), heldBytes: limits.maxEarlyBytes }
    for (const bucket of [1, 2]) to.receive({ ...header, kind: frameKind.activation, bucket }, huge)
    expect(failures).toEqual([`rank 0 sent more than ${limits.maxEarlyBytes} bytes ahead`])
  })

  it('is not waited for any longer once the group is aborted', async () => {
    const { to } = makePair()
    const taken = to.take(0, parcel)
    to.abort(new Error('the link is lost'))
    await expect(taken).rejects.toThrow('the link is lost')
    await expect(to.take(0, parcel)).rejects.toThrow('the link is lost')
  })
})
