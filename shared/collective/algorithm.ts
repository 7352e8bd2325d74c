import type { RunConfig } from '../core/config.ts'
import { limits } from '../core/limits.ts'

/** What a user may ask for. */
export type AlgorithmChoice = RunConfig['algorithm']

/** Each has a file of its name. */
export const algorithms = ['direct', 'exchange', 'ring', 'tree'] as const
export type Algorithm = (typeof algorithms)[number]

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
  const what = `${kilobytes(bytes)} over ${worldSize} ranks`
  if (choice !== 'auto' && choice !== 'direct') return { name: choice, reason: `--algorithm ${choice}` }
  if (worldSize <= limits.exchangeRanks && bytes * (worldSize - 1) <= limits.exchangeBytes)
    return { name: 'exchange', reason: `${what}: one hop costs least` }
  if (choice === 'direct') return { name: 'direct', reason: '--algorithm direct' }
  if (lanes) return { name: 'direct', reason: 'a reproducible run makes each sum in one place' }
  if (worldSize > limits.exchangeRanks && bytes <= limits.treeBytes)
    return { name: 'tree', reason: `${what}: fewest messages` }
  return { name: 'direct', reason: `${what}: fewest bytes in two hops` }
}

/** What a group does, for people: the algorithm of its large buckets, and why. */
export function describeAlgorithm(choice: AlgorithmChoice, worldSize: number, lanes: boolean): ChosenAlgorithm {
  if (worldSize < 2) return { name: 'direct', reason: 'one rank has nothing to add' }
  const large = chooseAlgorithm(choice, worldSize, Number.MAX_SAFE_INTEGER, lanes)
  const most = Math.floor(limits.exchangeBytes / (worldSize - 1))
  const small = chooseAlgorithm(choice, worldSize, most, lanes)
  if (small.name === large.name) return large
  const upTo = small.name === 'exchange' ? most : limits.treeBytes
  const reason = `${worldSize} ranks: fewest bytes in two hops; ${small.name} up to ${kilobytes(upTo)}`
  return { name: large.name, reason: choice === 'auto' ? reason : `--algorithm ${choice}; ${reason}` }
}
