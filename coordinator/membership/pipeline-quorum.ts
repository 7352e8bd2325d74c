import type { StateIdentity } from '../../shared/protocol/control.ts'
import { ahead, type Member } from './member.ts'
import { rankIn } from './members.ts'
import { byName, type Quorum, type QuorumQuestion } from './quorum.ts'

/** How many of so many workers make whole pipelines. */
export const wholePipelines = (workers: number, stages: number): number => Math.floor(workers / stages) * stages

/**
 * As `quorum`, for workers of which each holds one stage (docs/pipeline.md). The group goes on from the furthest state that every stage can
 * be had in: a worker holds that of its last step, and can go back to the one before. Where a stage is lost, all go back to the
 * checkpoint. Workers keep their stage where they can; who finds no place waits. Pure.
 */
export function pipelineQuorum(question: QuorumQuestion, stages: number): Quorum {
  const { candidates, lastGroup, maxWorkers, storedStep, reason } = question
  const replicas = wholePipelines(Math.min(candidates.length, maxWorkers), stages) / stages
  const state = furthestOfAll(candidates, stages)
  const usable = state !== null && (state.generation > 0 || state.step >= storedStep) ? state : null
  const has = (member: Member) => usable !== null && holds(member, usable)
  const place = ({ workerId }: Member) => rankIn(lastGroup, workerId) + 1 || Number.POSITIVE_INFINITY
  const inOrder = [...candidates].sort(
    (a, b) => Number(has(b)) - Number(has(a)) || place(a) - place(b) || byName.compare(a.workerId, b.workerId),
  )
  const seats = Array.from({ length: stages }, (_, stage) =>
    inOrder.filter((member) => member.held?.stage === stage).slice(0, replicas),
  )
  const seated = new Set(seats.flat())
  const others = inOrder.filter((member) => !seated.has(member))
  for (let replica = 0; replica < replicas; replica++)
    for (const seat of seats) if (seat.length === replica) seat.push(...others.splice(0, 1))
  const group = Array.from({ length: replicas }, (_, replica) => seats.flatMap((seat) => seat[replica] ?? [])).flat()
  const sources = seats.map((seat, stage) => {
    const replica = seat.findIndex((member) => member.held?.stage === stage && has(member))
    return replica * stages + stage
  })
  if (usable && sources.every((rank) => rank >= 0))
    return { group, state: usable, source: sources[0] ?? 0, sources, reason }
  return { group, state: { generation: 0, step: storedStep }, source: null, reason }
}

/** The furthest state that for every stage somebody holds or can go back to; null: there is none. */
function furthestOfAll(candidates: readonly Member[], stages: number): StateIdentity | null {
  const known = candidates.flatMap(({ state, held }) => [state, held?.before ?? null])
  return known.reduce<StateIdentity | null>((best, state) => {
    if (!state || !ahead(state, best)) return best
    const everywhere = Array.from({ length: stages }, (_, stage) => stage).every((stage) =>
      candidates.some((member) => member.held?.stage === stage && holds(member, state)),
    )
    return everywhere ? state : best
  }, null)
}

function holds({ state, held }: Member, wanted: StateIdentity): boolean {
  return [state, held?.before].some((some) => some?.generation === wanted.generation && some.step === wanted.step)
}
