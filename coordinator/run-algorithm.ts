import { type ChosenAlgorithm, describeAlgorithm } from '../shared/collective/algorithm.ts'
import type { RunConfig } from '../shared/core/config.ts'
import type { Topology } from '../shared/protocol/topology.ts'

/** What a group of this run reduces by, and why. */
export function algorithmOf(
  { algorithm, reproducible, compression, pipelineStages }: RunConfig,
  topology: Topology,
): ChosenAlgorithm {
  const onePlace = reproducible || compression === 'topk'
  const compressed = compression !== 'none' || pipelineStages > 1 // by the communication threads as well
  return describeAlgorithm({ choice: algorithm, topology, onePlace, compressed })
}

/** Whether groups go through the hub. Stages of a pipeline have to reach each other. */
export function hubRule({ algorithm, pipelineStages }: RunConfig): 'always' | 'fall-back' | 'never' {
  if (algorithm === 'star') return 'always'
  return algorithm === 'auto' && pipelineStages === 1 ? 'fall-back' : 'never'
}
