import type { Topology } from '../../shared/protocol/topology.ts'

/** Where a rank computes. */
export interface Seat {
  /** Name of the host: those of one name share its cores. */
  readonly host: string
  /** That the host lends its workers. */
  readonly cores: number
  /** That the worker computes with. */
  readonly threads: number
}

/** A group as far as it decides how long a step takes. Seats and the hosts of the topology are by rank. */
export interface Layout {
  readonly seats: readonly Seat[]
  readonly topology: Topology
}

/** How much longer than alone a worker takes, on the host where most want a core. */
export function crowding({ seats }: Layout): { readonly single: number; readonly parts: number } {
  const workers = new Map<string, number>()
  for (const { host } of seats) workers.set(host, (workers.get(host) ?? 0) + 1)
  const perCore = seats.map(({ host, cores }) => (workers.get(host) ?? 1) / Math.max(1, cores))
  return {
    single: Math.max(1, ...perCore),
    parts: Math.max(...seats.map(({ threads }, rank) => Math.max(1 / Math.max(1, threads), perCore[rank] ?? 0))),
  }
}

/** No worker has to wait for a core: what it computes and what it waits for others are told apart by its clock. */
export function isRoomy({ seats }: Layout): boolean {
  const wanted = new Map<string, number>()
  for (const { host, threads } of seats) wanted.set(host, (wanted.get(host) ?? 0) + threads)
  return seats.every(({ host, cores }) => (wanted.get(host) ?? 0) <= cores)
}

/** So many workers on the hosts that are there: further ones where most cores are free, and those go first that share one. */
export function resized(layout: Layout, workers: number): Layout {
  let { seats, topology } = layout
  const places = new Set(topology.hosts).size
  const names = new Set(seats.map(({ host }) => host)).size
  const apart = places > names // ranks of one host do not share memory: --wire tcp, or containers
  while (seats.length > workers) {
    const rank = rankOf(seats, (free) => -free)
    seats = seats.filter((_, index) => index !== rank)
    topology = { ...topology, hosts: topology.hosts.filter((_, index) => index !== rank) }
  }
  while (seats.length < workers) {
    const rank = rankOf(seats, (free) => free)
    const seat = seats[rank]
    if (!seat) return layout
    seats = [...seats, seat]
    const host = apart ? Math.max(...topology.hosts) + 1 : (topology.hosts[rank] ?? 0)
    topology = { ...topology, hosts: [...topology.hosts, host] }
  }
  return { seats, topology }
}

/** So many workers, those that are more than now each on a further host like the first one's. */
export function spreadOut({ seats, topology }: Layout, workers: number): Layout {
  const more = Math.max(0, workers - seats.length)
  const [first] = seats
  if (!first) return { seats, topology }
  const next = Math.max(...topology.hosts) + 1
  return {
    seats: [...seats, ...Array.from({ length: more }, (_, index) => ({ ...first, host: `further host ${index}` }))],
    topology: { ...topology, hosts: [...topology.hosts, ...Array.from({ length: more }, (_, index) => next + index)] },
  }
}

/** Last rank of the host that is best by its free cores. */
function rankOf(seats: readonly Seat[], by: (freeCores: number) => number): number {
  const free = new Map<string, number>()
  for (const { host, cores, threads } of seats) free.set(host, (free.get(host) ?? cores) - threads)
  const worth = (seat: Seat) => by(free.get(seat.host) ?? 0)
  return seats.reduce((best, seat, rank) => {
    const now = seats[best]
    return now && worth(seat) < worth(now) ? best : rank
  }, 0)
}
