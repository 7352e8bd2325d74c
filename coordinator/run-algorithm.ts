import { type ChosenAlgorithm, describeAlgorithm } from '../shared/collective/algorithm.ts'
import type { RunConfig } from '../shared/core/config.ts'
import type { Topology } from '../shared/protocol/topology.ts'

/** What a group of this run reduces by, and why. */
export function algorithmOf({ algorithm, reproducible, compression }: RunConfig, topology: Topology): ChosenAlgorithm {
  const onePlace = reproducible || compression === 'topk'
  return describeAlgorithm({ choice: algorithm, topology, onePlace, compressed: compression !== 'none' })
}
