import { placeOfRank } from '../../shared/pipeline/ranks.ts'
import type { StateIdentity } from '../../shared/protocol/control.ts'
import { wholeGroupBucket } from '../../shared/protocol/frame.ts'
import type { Link } from '../link.ts'
import type { HeldState } from '../step/checkpoint-files.ts'
import type { Group, PipelineGroup } from '../step/group.ts'
import type { ModelState } from '../step/model-state.ts'
import { counter } from '../thread-messages.ts'
import { barrierFloats, type StageSeat } from './stage-workshop.ts'

/** Why the stages are brought together: each has barriers of its own. `last`: before the group ends. */
export const gathering = { due: 1, last: 3 } as const
export type Gathering = (typeof gathering)[keyof typeof gathering]

/**
 * Brings the state of all stages together on rank 0, which gets it; the others get null. Nobody steps meanwhile: all wait until all have
 * committed, and until rank 0 has what it needs. `wanted`: rank 0 has a use for it now.
 */
export async function gatherStages(
  { link, seat, state, group }: Stages,
  identity: StateIdentity,
  why: Gathering,
  wanted: boolean,
): Promise<HeldState | null> {
  state.floats(seat.barrier, barrierFloats).fill(0)
  await barrier(seat, group, identity, why)
  const states: ModelState[] = []
  if (group.rank === 0 && wanted) {
    states.push(state)
    for (let stage = 1; stage < seat.stages; stage++) {
      const room = seat.roomFor(stage)
      await link.fetchState(stage, identity, room) // the first pipeline's ranks are numbered like its stages
      states.push(room)
    }
  }
  await barrier(seat, group, identity, why + 1)
  if (states.length === 0) return null
  return {
    slots: states.flatMap(({ slots }) => slots),
    averages: states.flatMap(({ averages }) => averages),
    networks: new Map(states.flatMap(({ networks }) => [...networks])),
  }
}

/** Before the group halts: all wait until rank 0 has stored what it has gathered, or cannot. `store`: null on the others. */
export async function waitForStore(
  { link, seat, group }: Stages,
  identity: StateIdentity,
  store: Promise<unknown> | null,
): Promise<void> {
  Atomics.add(link.counters, counter.entered, 1) // it waits too, for the coordinator: it must not look stalled
  await store
  Atomics.add(link.counters, counter.reduced, 1)
  await barrier(seat, group, identity, gathering.last + 2)
}

interface Stages {
  readonly link: Link
  readonly seat: StageSeat
  readonly state: ModelState
  readonly group: Group
}

function barrier(seat: StageSeat, group: Group, { step }: StateIdentity, number: number): Promise<number> {
  return group.allReduce(step, wholeGroupBucket + number, [seat.barrier], barrierFloats, barrierFloats)
}

/** A rank's neighbours, over the communication thread. */
export function pipelineGroup(link: Link, rank: number, worldSize: number, stages: number): PipelineGroup {
  return {
    place: placeOfRank(rank, worldSize, stages),
    give: (to, parcel) => link.give(to, parcel),
    take: (from, parcel) => link.take(from, parcel),
  }
}
