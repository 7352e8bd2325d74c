import { context } from 'zeromq'
import { Hub } from '../../coordinator/hub.ts'
import type { Algorithm } from '../../shared/collective/algorithm.ts'
import { AllReduceGroup } from '../../shared/collective/all-reduce.ts'
import { chunkOf } from '../../shared/collective/chunks.ts'
import type { AllReduceMemory } from '../../shared/collective/sums.ts'
import type { LaneDeal } from '../../shared/core/schedule.ts'
import { decodeFrameHeader, encodeFrameHeader, frameKind } from '../../shared/protocol/frame.ts'
import { encodeTarget } from '../../shared/protocol/hub.ts'
import { SimulatedNetwork } from '../../shared/transport/simulated-transport.ts'
import type { PeerAddress, Transport, TransportGroup, Wire } from '../../shared/transport/transport.ts'
import { openZeromqTransport } from '../../shared/transport/zeromq-transport.ts'

// Sixteen ranks in one process, links and their monitors: more than libzmq's default of 1023 sockets.
context.maxSockets = 16_000

export const testRun = 77n

export interface Rank {
  readonly transport: Transport
  readonly group: AllReduceGroup
  readonly data: Float32Array
}

export interface TransportKind {
  readonly name: string
  readonly wire: Wire
  /** Opens so many endpoints that can reach each other. */
  open(count: number): Promise<Transport[]>
}

const openZeromq = (count: number, inlineBytes: number) =>
  Promise.all(Array.from({ length: count }, () => openZeromqTransport('tcp://127.0.0.1:0', { inlineBytes })))

export const transportKinds: readonly TransportKind[] = [
  {
    ...{ name: 'sim', wire: 'auto' },
    open(count) {
      const network = new SimulatedNetwork(lcg(count))
      return Promise.resolve(Array.from({ length: count }, () => network.create()))
    },
  },
  { name: 'tcp', wire: 'tcp', open: (count) => openZeromq(count, 0) },
  { name: 'shm', wire: 'shm', open: (count) => openZeromq(count, 0) },
]

export function groupOf(
  rank: number,
  peers: readonly PeerAddress[],
  more: Partial<TransportGroup> = {},
): TransportGroup {
  return { run: testRun, generation: 1, rank, peers, wire: 'auto', ...more }
}

/** Plain memory: the sum that the wasm kernel computes, one element after the other. Small blocks, so that there are many. */
export function plainMemory(data: Float32Array): AllReduceMemory {
  return {
    floats: (offset, count) => data.subarray(offset, offset + count),
    scratch: new Float32Array(8192),
    add: (target, source) => {
      for (let index = 0; index < target.length; index++) target[index] = (target[index] ?? 0) + (source[index] ?? 0)
    },
  }
}

export interface GroupOptions {
  readonly generation?: number
  readonly segmentElements?: number
  readonly algorithm?: Algorithm
  readonly wire?: Wire
  /** Host of each rank (default: two ranks on each). */
  readonly hosts?: readonly number[]
  /** Where the hub of a star listens. */
  readonly hub?: Transport
}

export const twoOnEach = (worldSize: number): number[] => Array.from({ length: worldSize }, (_, rank) => rank >> 1)

/** One group over `transports`, each rank with `elements` floats of its own. */
export function formGroup(transports: readonly Transport[], elements: number, options: GroupOptions = {}): Rank[] {
  const worldSize = transports.length
  const { generation = 1, algorithm = 'direct', wire = 'auto', hosts = twoOnEach(worldSize), hub } = options
  const ranks = transports.map((transport, rank) => {
    const data = rankData(rank, elements)
    const group = new AllReduceGroup({
      run: testRun,
      generation,
      rank,
      worldSize,
      transport,
      algorithm: () => algorithm,
      hosts: () => hosts,
      hub: algorithm === 'star',
      memory: plainMemory(data),
      ...(options.segmentElements ? { segmentElements: options.segmentElements } : {}),
    })
    transport.onFrame((header, payload) => group.receive(header, payload))
    transport.onLost((lost) => group.abort(new Error(`rank ${lost} is lost`)))
    return { transport, group, data }
  })
  const peers = transports.map((transport, rank) => ({ rank, endpoint: transport.endpoint }))
  if (algorithm === 'star' && hub) {
    openHub(hub, groupOf(worldSize, peers, { generation, wire: 'tcp' }))
    peers.push({ rank: worldSize, endpoint: hub.endpoint })
  }
  for (const [rank, { transport }] of ranks.entries()) {
    const others = peers.filter((peer) => peer.rank !== rank)
    transport.connect(groupOf(rank, others, { generation, wire }))
  }
  return ranks
}

/** The coordinator's hub behind a transport: everybody has said that it is there, and gets no answer to that. */
export function openHub(transport: Transport, group: TransportGroup, lanes: LaneDeal | null = null): Hub {
  const { peers, rank: rankOfHub, run, generation } = group
  const hub = new Hub({
    send: (peer, [header, payload]) => {
      if (header && payload && payload.byteLength > 0) transport.send([Number(peer)], header, payload)
    },
    malformed: () => {},
    abort: () => transport.close(),
  })
  hub.form({ run, generation, workerIds: peers.map(({ rank }) => `${rank}`), lanes })
  const receive = (header: Uint8Array, payload: Uint8Array) => {
    const sender = `${decodeFrameHeader(header)?.sender}`
    hub.receive(sender, sender, [header, payload, encodeTarget(rankOfHub)])
  }
  const hello = { kind: frameKind.probe, run, generation, step: 0, bucket: 0, segment: 0, part: 0, offset: 0, count: 0 }
  for (const { rank } of peers) receive(encodeFrameHeader({ ...hello, sender: rank }), new Uint8Array(0))
  transport.onFrame((header, payload) => {
    const bytes = new Uint8Array(payload.byteLength)
    payload.copyTo(bytes)
    receive(header, bytes)
  })
  transport.connect(group)
  return hub
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

/** What each algorithm adds up, in its order, in float32. */
export function sumOf(
  algorithm: Algorithm,
  worldSize: number,
  elements: number,
  hosts: readonly number[] = twoOnEach(worldSize),
): Float32Array {
  if (algorithm === 'hierarchical') return sumByHost(hosts, elements)
  if (algorithm === 'ring') return ringSum(worldSize, elements)
  return algorithm === 'tree' ? pairwiseSum(worldSize, elements) : sumInRankOrder(worldSize, elements)
}

/** In rank order on each host, then the hosts in the order of their first ranks. */
function sumByHost(hosts: readonly number[], elements: number): Float32Array {
  const sums = [...new Set(hosts)].map((host) => {
    const ranks = [...hosts.keys()].filter((rank) => hosts[rank] === host)
    return ranks.map((rank) => rankData(rank, elements)).reduce(plus)
  })
  return sums.reduce(plus)
}

const plus = (a: Float32Array, b: Float32Array): Float32Array => a.map((value, index) => value + (b[index] ?? 0))

/** Chunk c: rank c + rank c + 1 + … around the ring. */
function ringSum(worldSize: number, elements: number): Float32Array {
  const data = Array.from({ length: worldSize }, (_, rank) => rankData(rank, elements))
  const sum = new Float32Array(elements)
  for (let chunk = 0; chunk < worldSize; chunk++) {
    const { start, end } = chunkOf(chunk, worldSize, elements)
    for (let index = start; index < end; index++)
      for (let hop = 0; hop < worldSize; hop++)
        sum[index] = (sum[index] ?? 0) + (data[(chunk + hop) % worldSize]?.[index] ?? 0)
  }
  return sum
}

/** Ranks beyond the last power of two are added first, then pairs at distance P/2, P/4, … 1. */
function pairwiseSum(worldSize: number, elements: number): Float32Array {
  const power = 2 ** Math.floor(Math.log2(worldSize))
  let sums = Array.from({ length: power }, (_, rank) => rankData(rank, elements))
  for (let rank = power; rank < worldSize; rank++)
    sums[rank - power] = plus(sums[rank - power] ?? new Float32Array(), rankData(rank, elements))
  for (let distance = power / 2; distance >= 1; distance /= 2)
    sums = sums.map((sum, rank) => plus(sum, sums[rank ^ distance] ?? sum))
  return sums[0] ?? new Float32Array(elements)
}

/** Seeded picks for the simulated network's order of delivery. */
export function lcg(seed: number): (count: number) => number {
  let state = seed + 1
  return (count) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state % Math.max(1, count)
  }
}
