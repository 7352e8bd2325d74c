import type { Member } from './member.ts'

/** Failed generations without a commit, after which two members are known not to reach each other. */
const maximumFailures = 3
/** So long are they kept out of each other's group, or their group goes through the hub; then it is tried once more. */
export const apartMs = 300_000

/** Of two members, by their names: how often their link failed without a step in between, and until when they are apart. */
interface Pair {
  readonly failures: number
  /** Generation of the last failure; both tell. */
  readonly generation: number
  readonly until: number
}

export type Pairs = ReadonlyMap<string, Pair>

const keyOf = (a: string, b: string): string => [a, b].sort().join(' ')

/** The link between two members failed in this generation. `apart`: they shall not be in one group for a while. */
export function linkFailed(
  pairs: Pairs,
  a: string,
  b: string,
  generation: number,
  now: number,
): { pairs: Pairs; apart: boolean } {
  const key = keyOf(a, b)
  const before = pairs.get(key)
  if (before?.generation === generation) return { pairs, apart: false }
  const failures = (before?.failures ?? 0) + 1
  const apart = failures >= maximumFailures
  const pair = { failures, generation, until: apart ? now + apartMs : 0 }
  return { pairs: new Map(pairs).set(key, pair), apart }
}

/** This group has committed a step: its links hold. Pairs that are apart stay so until then, and are tried but once. */
export function linksHold(pairs: Pairs, group: readonly string[]): Pairs {
  if (pairs.size === 0) return pairs
  const holds = (key: string, { until }: Pair) => until === 0 || key.split(' ').every((id) => group.includes(id))
  if (![...pairs].some(([key, pair]) => holds(key, pair))) return pairs
  return new Map([...pairs].filter(([key, pair]) => !holds(key, pair)))
}

/** Leaves out of two that do not reach each other the later one. */
export function withoutApart(members: readonly Member[], pairs: Pairs, now: number): Member[] {
  const apart = [...pairs].filter(([, { until }]) => until > now).map(([key]) => key.split(' '))
  const chosen = new Set(members.map(({ workerId }) => workerId))
  for (const { workerId } of members) {
    if (!chosen.has(workerId)) continue
    for (const pair of apart) if (pair.includes(workerId)) for (const id of pair) if (id !== workerId) chosen.delete(id)
  }
  return members.filter(({ workerId }) => chosen.has(workerId))
}
