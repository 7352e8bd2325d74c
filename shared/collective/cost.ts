import type { LinkSpeed, Topology } from '../protocol/topology.ts'
import type { Algorithm } from './algorithm.ts'
import { ranksByHost } from './topology.ts'

/** Where nothing was measured: links as they are between processes of one host, and in a network of 10 Gbit/s. */
const assumed = {
  inside: { latencyUs: 60, bytesPerSecond: 3e9 },
  between: { latencyUs: 100, bytesPerSecond: 1e9 },
} as const satisfies Record<string, LinkSpeed>
/** Processor time of a message at one of its ends, and of a byte that is added; measured here once (docs/performance.md). */
const messageUs = 10
const addedBytesPerUs = 8000

/**
 * What an all-reduce is expected to take, in microseconds: the alpha-beta model (Hockney 1994; for collectives: Thakur,
 * Rabenseifner & Gropp 2005, section 3) with a term for messages (LogP's o) and one for sums:
 *
 *   T = h α + m o + bᵢ βᵢ + bₑ βₑ + s γ
 *
 * h hops, one after the other, of latency α (that between hosts where the hop crosses them); m messages of one rank, sent and
 * received, o each; bᵢ bytes that a rank moves inside its host, bₑ bytes that all ranks of a host together move over its one
 * link to the others, each counted in the one direction that has more; s bytes that a rank adds. α and β = 1 / bandwidth are
 * measured when the group forms (worker/link-probe.ts); o and γ are constants. Segments overlap and messages do not, so this
 * ranks algorithms; it does not predict a time.
 *
 * N ranks, the largest host has n of them, H hosts, E bytes, P the largest power of two in N.
 *
 * | algorithm    | h                   | m              | bᵢ                     | bₑ                    | s            |
 * | ------------ | ------------------- | -------------- | ---------------------- | --------------------- | ------------ |
 * | exchange     | 1                   | 2 (N−1)        | E (n−1)                | E n (N−n)             | E (N−1)      |
 * | direct       | 2                   | 4 (N−1)        | 2 E (n−1)/N            | 2 E n (N−n)/N         | E (N−1)/N    |
 * | ring         | 2 (N−1)             | 4 (N−1)        | 2 E (N−1)/N            | 2 E (N−1)/N           | E (N−1)/N    |
 * | tree         | 2 log₂ P (+ 2)      | 4 log₂ P (+ 4) | 2 E (n−1)/P (+ 2 E)    | 2 E (1−n/P) n (+ 2 E) | E (P−1)/P (+ E) |
 * | hierarchical | 2 inside, 2 between | 4 (n−1 + H−1)  | 2 E (n−1)/n            | 2 E (H−1)/H           | E (n−1 + (H−1)/H)/n |
 * | star         | 2                   | 2 + 2 N (hub)  | 2 N E (H = 1)          | 2 N E (H > 1)         | N E          |
 *
 * In brackets: where N is no power of two. The tree's row assumes that neighbours in rank share a host.
 */
export function costUs(algorithm: Algorithm, bytes: number, topology: Topology): number {
  const { hops, messages, inside, between, added } = work(algorithm, bytes, topology)
  const links = { inside: topology.inside ?? assumed.inside, between: topology.between ?? assumed.between }
  const latencyUs = hops.inside * links.inside.latencyUs + hops.between * links.between.latencyUs
  const movedUs = (inside / links.inside.bytesPerSecond + between / links.between.bytesPerSecond) * 1e6
  return latencyUs + messages * messageUs + movedUs + added / addedBytesPerUs
}

interface Work {
  readonly hops: { readonly inside: number; readonly between: number }
  readonly messages: number
  readonly inside: number
  readonly between: number
  readonly added: number
}

function work(algorithm: Algorithm, bytes: number, { hosts }: Topology): Work {
  const ranks = hosts.length
  const sizes = ranksByHost(hosts).map((host) => host.length)
  const most = Math.max(...sizes)
  const far = sizes.length
  const others = ranks - 1
  const crossing = (count: number) => (far > 1 ? { inside: 0, between: count } : { inside: count, between: 0 })
  switch (algorithm) {
    case 'exchange':
      return {
        ...{ hops: crossing(1), messages: 2 * others },
        ...{ inside: bytes * (most - 1), between: bytes * most * (ranks - most), added: bytes * others },
      }
    case 'direct': {
      const chunk = bytes / ranks
      return {
        ...{ hops: crossing(2), messages: 4 * others },
        ...{ inside: 2 * chunk * (most - 1), between: 2 * chunk * most * (ranks - most), added: chunk * others },
      }
    }
    case 'ring': {
      const moved = (2 * bytes * others) / ranks
      return {
        ...{ hops: crossing(2 * others), messages: 4 * others },
        ...{ inside: moved, between: far > 1 ? moved : 0, added: moved / 2 },
      }
    }
    case 'tree':
      return treeWork(bytes, ranks, most, far, crossing)
    case 'hierarchical':
      return {
        hops: { inside: most > 1 ? 2 : 0, between: far > 1 ? 2 : 0 },
        messages: 4 * (most - 1 + far - 1),
        inside: (2 * bytes * (most - 1)) / most,
        between: (2 * bytes * (far - 1)) / far,
        added: (bytes * (most - 1 + (far - 1) / far)) / most,
      }
    case 'star': {
      const moved = 2 * ranks * bytes
      const through = far > 1 ? { inside: 0, between: moved } : { inside: moved, between: 0 }
      return { hops: crossing(2), messages: 2 + 2 * ranks, ...through, added: ranks * bytes }
    }
    default:
      return algorithm satisfies never
  }
}

function treeWork(
  bytes: number,
  ranks: number,
  most: number,
  far: number,
  crossing: (count: number) => Work['hops'],
): Work {
  let rounds = 0
  while (2 ** (rounds + 1) <= ranks) rounds++
  const power = 2 ** rounds
  const guests = power < ranks ? 1 : 0
  const near = Math.min(most, power)
  return {
    hops: crossing(2 * rounds + 2 * guests),
    messages: 4 * rounds + 4 * guests,
    inside: (2 * bytes * (near - 1)) / power + 2 * bytes * guests,
    between: far > 1 ? 2 * bytes * (1 - near / power) * near + 2 * bytes * guests : 0,
    added: (bytes * (power - 1)) / power + bytes * guests,
  }
}
