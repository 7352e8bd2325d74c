import { usage } from './errors.ts'

/** What gradients travel as (shared/compression). */
export const compressionNames = ['none', 'bf16', 'fp16', 'int8', 'topk'] as const

/** One in a hundred: the rest is held back, and follows. */
const defaultTopKRatio = 0.01

interface Options {
  readonly compression: (typeof compressionNames)[number]
  compressionRatio: number | null
  readonly algorithm: string
  readonly reproducible: boolean
}

/** Completes the ratio of top-k, and refuses what makes no sense. */
export function completeCompression(options: Options): void {
  const { compression, algorithm, reproducible } = options
  if (compression !== 'topk' && options.compressionRatio !== null)
    throw usage('--compression-ratio is for top-k alone; write --compression topk, or leave it out')
  if (compression !== 'none' && reproducible) {
    throw usage(
      `--compression ${compression} rounds sums that depend on the number of workers; with --reproducible leave it out`,
    )
  }
  if (compression !== 'none' && algorithm === 'star')
    throw usage(`--algorithm star adds float32 in the coordinator; with it leave out --compression ${compression}`)
  if (compression !== 'topk') return
  options.compressionRatio ??= defaultTopKRatio
  if (algorithm === 'auto' || algorithm === 'direct') return
  throw usage(
    `--algorithm ${algorithm} passes sums on, which have ever more elements than top-k sends; with --compression topk write --algorithm auto`,
  )
}
