import { context } from 'zeromq'
import { type AllReduceMemory, DirectAllReduce } from '../../shared/collective/direct.ts'
import { SimulatedNetwork } from '../../shared/transport/simulated-transport.ts'
import type { Transport } from '../../shared/transport/transport.ts'
import { openZeromqTransport } from '../../shared/transport/zeromq-transport.ts'

// Sixteen ranks in one process, links and their monitors: more than libzmq's default of 1023 sockets.
context.maxSockets = 16_000

export const testRun = 77n

export interface Rank {
  readonly transport: Transport
  readonly group: DirectAllReduce
  readonly data: Float32Array
}

export interface TransportKind {
  readonly name: string
  /** Opens so many endpoints that can reach each other. */
  open(count: number): Promise<Transport[]>
}

export const transportKinds: readonly TransportKind[] = [
  {
    name: 'simulated',
    open(count) {
      const network = new SimulatedNetwork(lcg(count))
      return Promise.resolve(Array.from({ length: count }, () => network.create()))
    },
  },
  {
    name: 'zeromq',
    open: (count) => Promise.all(Array.from({ length: count }, () => openZeromqTransport('tcp://127.0.0.1:0'))),
  },
]

/** Plain memory: the sum that the wasm kernel computes, one element after the other. */
export function plainMemory(data: Float32Array): AllReduceMemory {
  return {
    bucket: (offset, count) => data.subarray(offset, offset + count),
    add: (target, source) => {
      for (let index = 0; index < target.length; index++) target[index] = (target[index] ?? 0) + (source[index] ?? 0)
    },
  }
}

export interface GroupOptions {
  readonly generation?: number
  readonly segmentElements?: number
}

/** One group over `transports`, each rank with `elements` floats of its own. */
export function formGroup(transports: readonly Transport[], elements: number, options: GroupOptions = {}): Rank[] {
  const worldSize = transports.length
  const ranks = transports.map((transport, rank) => {
    const data = rankData(rank, elements)
    const group = new DirectAllReduce({
      run: testRun,
      generation: options.generation ?? 1,
      rank,
      worldSize,
      transport,
      memory: plainMemory(data),
      ...(options.segmentElements ? { segmentElements: options.segmentElements } : {}),
    })
    transport.onFrame((header, payload) => group.receive(header, payload))
    transport.onLost((lost) => group.abort(new Error(`rank ${lost} is lost`)))
    return { transport, group, data }
  })
  const peers = transports.map((transport, rank) => ({ rank, endpoint: transport.endpoint }))
  for (const [rank, transport] of transports.entries()) transport.connect(peers.filter((peer) => peer.rank !== rank))
  return ranks
}

/** Values whose sum depends on the order of addition. */
export function rankData(rank: number, elements: number): Float32Array {
  return Float32Array.from(
    { length: elements },
    (_, index) => Math.sin(index * 0.7 + rank * 1.3) * 10 ** ((index + rank) % 7),
  )
}

/** The slow, obvious sum: rank 0 + rank 1 + …, in float32. */
export function sumInRankOrder(worldSize: number, elements: number): Float32Array {
  const sum = rankData(0, elements)
  for (let rank = 1; rank < worldSize; rank++) {
    const values = rankData(rank, elements)
    for (let index = 0; index < elements; index++) sum[index] = (sum[index] ?? 0) + (values[index] ?? 0)
  }
  return sum
}

/** Seeded picks for the simulated network's order of delivery. */
export function lcg(seed: number): (count: number) => number {
  let state = seed + 1
  return (count) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state % Math.max(1, count)
  }
}
