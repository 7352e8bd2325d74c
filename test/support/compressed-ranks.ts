import type { Algorithm } from '../../shared/collective/algorithm.ts'
import { AllReduceGroup } from '../../shared/collective/all-reduce.ts'
import type { CompressionName } from '../../shared/compression/codec.ts'
import { Compression } from '../../shared/compression/compression.ts'
import { planCompression } from '../../shared/compression/compression-plan.ts'
import { Arena, createSharedMemory, loadKernel } from '../../shared/kernel/kernel.ts'
import type { Transport, Wire } from '../../shared/transport/transport.ts'
import { groupOf, testRun } from './ranks.ts'

export const ratio = 0.25

/** The memory of a worker and its compression, which outlive its groups. */
export interface CompressedWorker {
  readonly data: Float32Array
  readonly compression: Compression
  readonly memory: ConstructorParameters<typeof AllReduceGroup>[0]['memory']
  /** Element of the memory at which the data begin. */
  readonly offset: number
}

export function compressedWorker(name: CompressionName, elements: number): CompressedWorker {
  const memory = createSharedMemory(1 << 22)
  const arena = new Arena(memory)
  const kernel = loadKernel(memory)
  const offset = arena.allocate(Math.max(64, elements * 4))
  const scratch = arena.floats(arena.allocate(32_768), 8192)
  const options = { compression: name, compressionRatio: name === 'topk' ? ratio : null }
  const plan = planCompression(options, arena, [{ offset, bytes: Math.max(64, elements * 4) }])
  if (!plan) throw new Error('nothing to compress')
  return {
    data: arena.floats(offset, elements),
    compression: new Compression(memory, plan),
    memory: {
      floats: (first, count) => arena.floats(first * 4, count),
      scratch,
      add: (target, source) => kernel.add(target.byteOffset, source.byteOffset, target.length),
    },
    offset: offset / 4,
  }
}

export interface CompressedRank extends CompressedWorker {
  readonly group: AllReduceGroup
  reduce(step: number, exact?: number): Promise<number>
}

export interface CompressedGroupOptions {
  readonly algorithm: Algorithm
  readonly generation?: number
  readonly segmentElements?: number
  readonly wire?: Wire
}

/** One group of these workers, in this order. */
export function formCompressed(
  workers: readonly CompressedWorker[],
  transports: readonly Transport[],
  { algorithm, generation = 1, segmentElements = 1024, wire = 'auto' }: CompressedGroupOptions,
): CompressedRank[] {
  const peers = transports.map(({ endpoint }, rank) => ({ rank, endpoint }))
  return workers.map((worker, rank) => {
    const transport = transports[rank]
    if (!transport) throw new Error('a transport for each worker')
    const { memory, compression, offset, data } = worker
    const group = new AllReduceGroup({
      ...{ run: testRun, generation, rank, worldSize: workers.length, transport, memory, compression, segmentElements },
      algorithm: () => algorithm,
      hosts: () => workers.map((_, other) => Math.floor(other / 2)),
    })
    transport.onFrame((header, payload) => group.receive(header, payload))
    transport.onLost((lost) => group.abort(new Error(`rank ${lost} is lost`)))
    const others = peers.filter((peer) => peer.rank !== rank)
    transport.connect(groupOf(rank, others, { generation, wire }))
    const reduce = async (step: number, exact = 0) =>
      (await group.allReduce(step, 0, [offset], data.length, exact)).bytes
    return { ...worker, group, reduce }
  })
}
