import { type LaneNode, nodesOf } from '../shared/collective/lanes.ts'
import type { AllReduceMemory } from '../shared/collective/sums.ts'
import { lanesOfRank } from '../shared/core/schedule.ts'
import type { Kernel } from '../shared/kernel/kernel.ts'
import type { MemoryRegion } from './step/model-state.ts'

/** A worker's shared memory, as reductions see it. */
export function reduceMemory(
  kernel: Kernel,
  memory: WebAssembly.Memory,
  { offset, bytes }: MemoryRegion,
): AllReduceMemory {
  const { buffer } = memory
  return {
    floats: (first, count) => new Float32Array(buffer, first * 4, count),
    scratch: new Float32Array(buffer, offset, bytes / 4),
    add: (target, source) => kernel.add(target.byteOffset, source.byteOffset, source.length),
  }
}

/** Subtrees of the lane tree that each rank offers. */
export function nodesOfRanks(worldSize: number, lanes: number): LaneNode[][] {
  return Array.from({ length: worldSize }, (_, rank) => {
    const { first, last } = lanesOfRank(rank, worldSize, lanes)
    return nodesOf(first, last)
  })
}
