import type { RunConfig } from '../core/config.ts'
import { limits } from '../core/limits.ts'

/** What a user may ask for. */
export type AlgorithmChoice = RunConfig['algorithm']

export type Algorithm = 'direct' | 'exchange' | 'ring' | 'tree'

export interface ChosenAlgorithm {
  readonly name: Algorithm
  readonly reason: string
}

const kilobytes = (bytes: number) => `${Math.round(bytes / 1024)} KiB`

/**
 * A pure function of what all ranks know alike, so that all take the same. A small bucket costs what its hops and messages
 * cost; a large one what its bytes cost, which are the same for direct, ring and tree.
 */
export function chooseAlgorithm(
  choice: AlgorithmChoice,
  worldSize: number,
  bytes: number,
  lanes: boolean,
): ChosenAlgorithm {
  if (choice !== 'auto' && choice !== 'direct') return { name: choice, reason: `--algorithm ${choice}` }
  if (bytes <= limits.exchangeBytes && worldSize <= limits.exchangeRanks)
    return { name: 'exchange', reason: `${kilobytes(bytes)} over ${worldSize} ranks: one hop costs least` }
  if (choice === 'direct') return { name: 'direct', reason: '--algorithm direct' }
  if (lanes) return { name: 'direct', reason: 'the sums of a reproducible run are made in one place each' }
  if (worldSize > limits.exchangeRanks && bytes <= limits.treeBytes)
    return { name: 'tree', reason: `${kilobytes(bytes)} over ${worldSize} ranks: fewest messages` }
  return { name: 'direct', reason: `${kilobytes(bytes)} over ${worldSize} ranks: two hops` }
}
