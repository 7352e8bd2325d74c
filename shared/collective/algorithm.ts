import type { RunConfig } from '../core/config.ts'
import { limits } from '../core/limits.ts'
import type { Topology } from '../protocol/topology.ts'
import { costUs } from './cost.ts'
import { ranksByHost } from './topology.ts'

/** What a user may ask for. */
export type AlgorithmChoice = RunConfig['algorithm']

/** Between ranks that reach each other. Each has a file of its name, and so has `star`, for those that do not. */
export const algorithms = ['direct', 'exchange', 'ring', 'tree', 'hierarchical'] as const
export type Algorithm = (typeof algorithms)[number] | 'star'

export interface ChosenAlgorithm {
  readonly name: Algorithm
  readonly reason: string
}

/** What all ranks of a group know alike. */
export interface Circumstances {
  readonly choice: AlgorithmChoice
  readonly topology: Topology
  /** Each sum is made by one rank: in the order of the lane tree, or because sums are sparse. */
  readonly onePlace: boolean
  /** By the communication threads (worker/host-reduction.ts does not compress). */
  readonly compressed?: boolean
}

const largestBytes = 64 << 20

/** A pure function of what all ranks know alike, so that all take the same: of what may be used, what costs least (cost.ts). */
export function chooseAlgorithm(circumstances: Circumstances, bytes: number): ChosenAlgorithm {
  const { choice, topology, onePlace } = circumstances
  const worldSize = topology.hosts.length
  if (topology.hub) return { name: 'star', reason: starReason(choice) }
  if (choice !== 'auto' && choice !== 'direct') return { name: choice, reason: `--algorithm ${choice}` }
  const candidates: Algorithm[] = ['direct']
  if (worldSize <= limits.exchangeRanks && bytes * (worldSize - 1) <= limits.exchangeBytes) candidates.push('exchange')
  // A ring moves what direct moves, in more hops; star is for those that have no other way.
  if (choice === 'auto' && !onePlace) candidates.push('tree', 'hierarchical')
  const byCost = candidates
    .map((name) => ({ name, us: costUs(name, bytes, topology) }))
    .sort((a, b) => a.us - b.us || candidates.indexOf(a.name) - candidates.indexOf(b.name))
  const [best, next] = byCost
  if (!best || !next) return { name: 'direct', reason: onePlace ? onePlaceReason : '--algorithm direct' }
  return { name: best.name, reason: `about ${told(best.us)}, ${next.name} ${told(next.us)}` }
}

/** Between main threads of one host, where a frame costs microseconds (worker/host-reduction.ts). */
export function chooseOnOneHost(worldSize: number, bytes: number): Algorithm {
  const oneHop = worldSize <= limits.exchangeRanks && bytes * (worldSize - 1) <= limits.hostExchangeBytes
  return oneHop ? 'exchange' : 'direct'
}

/** What a group does, for people: the algorithm of its large buckets, and why. */
export function describeAlgorithm(circumstances: Circumstances): ChosenAlgorithm {
  const { choice, topology, onePlace, compressed = false } = circumstances
  const worldSize = topology.hosts.length
  if (topology.hub) return { name: 'star', reason: starReason(choice) }
  if (worldSize < 2) return { name: 'direct', reason: 'one rank has nothing to add' }
  if (choice !== 'auto' && choice !== 'direct') return chooseAlgorithm(circumstances, largestBytes)
  const onOneHost = !compressed && topology.hosts.every((host) => host === topology.hosts[0])
  const choose = (bytes: number): Algorithm =>
    onOneHost ? chooseOnOneHost(worldSize, bytes) : chooseAlgorithm(circumstances, bytes).name
  const upTo = new Map<Algorithm, number>()
  for (let bytes = 1024; bytes <= largestBytes; bytes *= 2) upTo.set(choose(bytes), bytes)
  const name = choose(largestBytes)
  upTo.delete(name)
  const why = onOneHost
    ? 'main threads of one host'
    : onePlace
      ? onePlaceReason
      : choice === 'direct'
        ? '--algorithm direct'
        : `64 MiB ${chooseAlgorithm(circumstances, largestBytes).reason}`
  const small = [...upTo].map(([other, bytes]) => `${other} up to ${kilobytes(bytes)}`)
  return { name, reason: [why, ...small, toldTopology(topology)].join('; ') }
}

const onePlaceReason = 'each sum is made in one place'

function starReason(choice: AlgorithmChoice): string {
  return choice === 'star' ? '--algorithm star' : 'workers do not reach each other, but the coordinator'
}

function toldTopology({ hosts, inside, between }: Topology): string {
  const count = ranksByHost(hosts).length
  const link = (name: string, speed: Topology['inside']) =>
    speed ? [`${name} ${told(speed.latencyUs)}, ${(speed.bytesPerSecond / 1e9).toFixed(2)} GB/s`] : []
  const links = [...link('inside', inside), ...link('between', between)]
  return [`${hosts.length} ranks on ${count} ${count === 1 ? 'host' : 'hosts'}`, ...links].join(', ')
}

const kilobytes = (bytes: number) => `${Math.round(bytes / 1024)} KiB`
const told = (us: number) => (us < 1000 ? `${Math.round(us)} µs` : `${(us / 1000).toFixed(1)} ms`)
