import { maximumNodes } from '../../shared/collective/lanes.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import { limits } from '../../shared/core/limits.ts'
import type { Model } from '../model/model.ts'

/** Gradients that a rank with so many computing threads holds at once: with micro-batches each thread has one more, to add. */
export function partsOf({ reproducible, lanes, accumulate }: RunConfig, threads: number): number {
  if (reproducible) return maximumNodes(lanes)
  return accumulate > 1 ? 2 * threads : threads
}

/** Room for the random draws of a step, and for the noise of as many images as are made at once. */
export function scratchBytesOf({ spec, phases }: Model, batchSize: number): number {
  const draws = phases(1, { step: 0, epochs: 0 }).flatMap((phase) => Object.values(phase.draws).map(({ size }) => size))
  return Math.max(batchSize * Math.max(spec.latentSize, ...draws), 100 * spec.latentSize) * 4 + 65_536
}

/** Room that another thread needs for itself, in the memory of this state. */
export function ownBytesOf(model: Model, batchSize: number, sampleBytes: number): number {
  return scratchBytesOf(model, batchSize) + 2 * limits.sumScratchBytes + batchSize * sampleBytes * 5 + 4096
}
