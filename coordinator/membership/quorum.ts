import type { StateIdentity } from '../../shared/protocol/control.ts'
import { ahead, type Member } from './member.ts'
import { rankIn } from './members.ts'

export interface Quorum {
  /** By rank. */
  readonly group: readonly Member[]
  /** The bits that every rank has before the first step. */
  readonly state: StateIdentity
  /** A rank that holds them; null: they come from a checkpoint, or from the seed. */
  readonly source: number | null
  /** Of pipelines: a rank that holds them, for each stage. */
  readonly sources?: number[]
  readonly reason: string
}

export interface QuorumQuestion {
  readonly candidates: readonly Member[]
  /** Worker ids by rank of the last group. */
  readonly lastGroup: readonly string[]
  readonly maxWorkers: number
  /** Step of the checkpoint, or 0: where to start when nobody holds anything. */
  readonly storedStep: number
  readonly reason: string
}

export const byName = new Intl.Collator('en', { numeric: true })

/** Who is in the next generation and with which rank, and whose state counts. Pure. */
export function quorum({ candidates, lastGroup, maxWorkers, storedStep, reason }: QuorumQuestion): Quorum {
  const byId = new Map(candidates.map((member) => [member.workerId, member]))
  const survivors = lastGroup.flatMap((id) => byId.get(id) ?? [])
  const newcomers = candidates
    .filter((member) => rankIn(lastGroup, member.workerId) < 0)
    .sort((a, b) => byName.compare(a.workerId, b.workerId))
  const chosen = [...survivors, ...newcomers].slice(0, maxWorkers)
  const group = stableRanks(chosen, lastGroup)
  const furthest = group.reduce<Member | null>(
    (best, member) => (ahead(member.state, best?.state ?? null) ? member : best),
    null,
  )
  if (furthest?.state && (furthest.state.generation > 0 || furthest.state.step >= storedStep))
    return { group, state: furthest.state, source: group.indexOf(furthest), reason }
  return { group, state: { generation: 0, step: storedStep }, source: null, reason }
}

/** Members keep their rank where it exists in the new group; the holes go to the others in order. */
function stableRanks(chosen: readonly Member[], lastGroup: readonly string[]): Member[] {
  const ranks = new Array<Member | null>(chosen.length).fill(null)
  const displaced: Member[] = []
  for (const member of chosen) {
    const rank = rankIn(lastGroup, member.workerId)
    if (rank >= 0 && rank < ranks.length) ranks[rank] = member
    else displaced.push(member)
  }
  return ranks.flatMap((member) => member ?? displaced.shift() ?? [])
}
