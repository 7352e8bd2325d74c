import type { Algorithm } from '../../shared/collective/algorithm.ts'
import { AllReduceGroup } from '../../shared/collective/all-reduce.ts'
import { assert } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { fillPattern, firstWrong } from '../bench/test-pattern.ts'
import type { LinkModel } from './link-model.ts'
import { TimedNetwork } from './timed-network.ts'

export interface SimulatedAllReduce {
  readonly worldSize: number
  readonly bytes: number
  readonly algorithm: Algorithm
  /** Until the last rank has the sum. */
  readonly ms: number
  readonly messages: number
  /** Bytes of the bucket that one byte of the simulated memory stands for; 1: all of it is there. */
  readonly scale: number
}

/** Elements that all ranks together may hold, and that one rank may. */
const mostOfAll = 1 << 26
const mostOfOne = 1 << 18
/** Chunks are cut at multiples of so many elements (chunks.ts). */
const chunkUnit = 16
/** Additions of `exchange`, where each rank adds what all have. */
const mostAdditions = 1 << 28

/**
 * The real algorithm on all ranks of a group, with real sums, over links that take the time of a model. All ranks begin
 * at 0. Where the memory of all ranks would be too large, each element of a shorter bucket stands for `scale` elements of
 * the real one: a message then takes the time of `scale` times its payload, and segments are as much shorter, so the
 * messages are the same. The shorter bucket is a multiple of what is cut evenly between the ranks. Rejects a wrong sum.
 */
export async function simulateAllReduce(
  algorithm: Algorithm,
  worldSize: number,
  bytes: number,
  model: LinkModel,
  mostElements = mostOfOne,
): Promise<SimulatedAllReduce> {
  const elements = heldElements(algorithm, worldSize, bytes / 4, mostElements)
  const scale = bytes / 4 / elements
  const network = new TimedNetwork(model, scale)
  const transports = Array.from({ length: worldSize }, () => network.create())
  const peers = transports.map(({ endpoint }, rank) => ({ rank, endpoint }))
  const hosts = transports.map(({ host }) => host)
  const scratch = new Float32Array(8192)
  const segmentElements = Math.max(1, Math.ceil(limits.segmentBytes / 4 / scale))
  const ranks = transports.map((transport, rank) => {
    const values = new Float32Array(elements)
    fillPattern(values, rank, 0)
    transport.connect({ peers })
    const group = new AllReduceGroup({
      ...{ run: 1n, generation: 1, rank, worldSize, transport, segmentElements },
      algorithm: () => algorithm,
      hosts: () => hosts,
      memory: { floats: (offset, count) => values.subarray(offset, offset + count), scratch, add },
    })
    transport.onFrame((header, payload) => group.receive(header, payload))
    return { group, values, transport }
  })
  const sums = Promise.all(ranks.map(({ group }) => group.allReduce(0, 0, [0], elements)))
  network.run()
  for (const { group } of ranks) assert(group.reduced === 1, `${algorithm} ends on ${worldSize} ranks`)
  await sums
  for (const { values } of ranks) assert(firstWrong(values, worldSize, 0) === null, `${algorithm} adds rightly`)
  const ms = Math.max(...transports.map(({ busyUntil }) => busyUntil))
  return { worldSize, bytes, algorithm, ms, messages: network.messages, scale }
}

/** All that the bucket has, where there is room for it on every rank. */
function heldElements(algorithm: Algorithm, worldSize: number, wanted: number, most: number): number {
  const room = Math.min(most, Math.floor(mostOfAll / worldSize))
  if (algorithm === 'exchange') return Math.min(wanted, room, Math.ceil(mostAdditions / worldSize ** 2))
  if (wanted <= room) return wanted
  const even = chunkUnit * worldSize
  return even * Math.max(1, Math.floor(room / even))
}

function add(target: Float32Array, source: Float32Array): void {
  for (let index = 0; index < target.length; index++) target[index] = (target[index] ?? 0) + (source[index] ?? 0)
}
