import { expect, it, vi } from 'vitest'
import { frameHeaderBytes } from '../../shared/protocol/frame.ts'
import { openZeromqTransport } from '../../shared/transport/zeromq-transport.ts'

const count = 400

it('one rank has links to more ranks than ZeroMQ has sockets by itself, and each carries', async () => {
  const far = await Promise.all(Array.from({ length: count }, () => openZeromqTransport('tcp://127.0.0.1:0')))
  const near = await openZeromqTransport('tcp://127.0.0.1:0')
  const got = new Set<number>()
  for (const [rank, transport] of far.entries()) transport.onFrame(() => got.add(rank))
  const lost: number[] = []
  near.onLost((rank) => lost.push(rank))
  const peers = far.map(({ endpoint }, rank) => ({ rank, endpoint }))
  near.connect({ run: 1n, generation: 1, rank: count, wire: 'tcp', peers })
  near.send([...far.keys()], new Uint8Array(frameHeaderBytes), new Uint8Array(8))
  await vi.waitFor(() => expect(got.size).toBe(count), { timeout: 20_000 })
  expect(lost).toEqual([])
  for (const transport of [near, ...far]) transport.close()
})
