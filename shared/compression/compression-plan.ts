import type { RunConfig } from '../core/config.ts'
import { limits } from '../core/limits.ts'
import type { Arena } from '../kernel/kernel.ts'
import type { CompressionName } from './codec.ts'
import type { ResidualRegion } from './residuals.ts'

export type CompressionOptions = Pick<RunConfig, 'compression' | 'compressionRatio'>

/** What compression is to do, and the room for it in a worker's shared memory, in bytes. */
export interface CompressionPlan {
  readonly name: CompressionName
  /** Of top-k; else null. */
  readonly ratio: number | null
  /** Room for the encoding of a segment. */
  readonly encoded: { readonly offset: number; readonly bytes: number }
  /** None where the codec needs none. */
  readonly residuals: readonly ResidualRegion[]
}

/** Whether what is lost in one step is added to the gradient of the next: bf16 keeps so much that it is left out. */
export function hasFeedback(name: CompressionName): boolean {
  return name !== 'bf16'
}

/** Takes the room from the arena; `gradients`: byte ranges that hold the buckets. Null where nothing is compressed. */
export function planCompression(
  { compression: name, compressionRatio: ratio }: CompressionOptions,
  arena: Arena,
  gradients: readonly { readonly offset: number; readonly bytes: number }[],
): CompressionPlan | null {
  if (name === 'none') return null
  const region = ({ offset, bytes }: (typeof gradients)[number]): ResidualRegion => ({
    ...{ first: offset, bytes, copies: [arena.allocate(bytes), arena.allocate(bytes)] },
  })
  const encoded = { offset: arena.allocate(limits.segmentBytes), bytes: limits.segmentBytes }
  return { name, ratio, encoded, residuals: hasFeedback(name) ? gradients.map(region) : [] }
}
