import type { RunConfig } from './config.ts'

/** Looks in an epoch: a GAN collapses within one; all of them take about 2 % of it (docs/stability.md). */
const looksPerEpoch = { gan: 8, vae: 2, classifier: 0 } as const

/** Steps between two looks at what a model makes; infinite: none. */
export function inspectionEvery(
  { inspectEvery, description, pipelineStages }: RunConfig,
  stepsPerEpoch: number,
): number {
  const looks = pipelineStages > 1 ? 0 : looksPerEpoch[description.family] // no rank holds the whole model
  if (looks === 0 || inspectEvery === 0) return Number.POSITIVE_INFINITY
  return inspectEvery ?? Math.max(10, Math.ceil(stepsPerEpoch / looks))
}

/** At every multiple of `every` steps; at each end of an epoch where `every` is 0. */
export function due(step: number, every: number, lastOfEpoch: boolean): boolean {
  return every > 0 ? step % every === 0 : lastOfEpoch
}
