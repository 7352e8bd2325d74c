import type { LinkReport, LinkSpeed, RankReport, Topology } from '../protocol/topology.ts'

/** Measured figures beyond these are errors of measurement. */
const plausible = { latencyUs: [2, 5_000_000], bytesPerSecond: [1e4, 2e10] } as const

/** Nothing is known: each rank may be on a host of its own. */
export function unknownTopology(worldSize: number, hub = false): Topology {
  return { hosts: Array.from({ length: worldSize }, (_, rank) => rank), inside: null, between: null, hub }
}

/**
 * What the ranks' reports, by rank, say together. Two ranks are on one host where each has proven it to the other; a host is
 * a set of ranks that all have, so that a proof that failed once makes a host of its own and nothing worse. Pure.
 */
export function topologyOf(reports: readonly (RankReport | null)[]): Topology {
  const proven = reports.map((report) => new Set(report?.sameHost))
  const members: number[][] = []
  const hosts = reports.map((_, rank) => {
    const belongs = (other: number) => proven[rank]?.has(other) && proven[other]?.has(rank)
    const found = members.findIndex((host) => host.every(belongs))
    if (found < 0) return members.push([rank]) - 1
    members[found]?.push(rank)
    return found
  })
  const links = reports.flatMap((report, from) =>
    (report?.links ?? []).map((link) => ({ ...link, inside: hosts[from] === hosts[link.rank] })),
  )
  const inside = speedOf(links.filter((link) => link.inside))
  return { hosts, inside, between: speedOf(links.filter((link) => !link.inside)), hub: false }
}

/** Ranks of each host, hosts in the order of their first ranks. */
export function ranksByHost(hosts: readonly number[]): number[][] {
  const ranks = new Map<number, number[]>()
  for (const [rank, host] of hosts.entries()) ranks.set(host, [...(ranks.get(host) ?? []), rank])
  return [...ranks.values()]
}

function speedOf(links: readonly LinkReport[]): LinkSpeed | null {
  const roundTripUs = median(links.map((link) => link.roundTripUs))
  const bytesPerSecond = median(links.map((link) => link.bytesPerSecond))
  if (roundTripUs === null || bytesPerSecond === null) return null
  return {
    latencyUs: within(roundTripUs / 2, plausible.latencyUs),
    bytesPerSecond: within(bytesPerSecond, plausible.bytesPerSecond),
  }
}

function within(value: number, [least, most]: readonly [number, number]): number {
  return Math.min(most, Math.max(least, value))
}

function median(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? null
}
