import { unknownTopology } from '../../shared/collective/topology.ts'
import type { StateIdentity } from '../../shared/protocol/control.ts'
import type { Topology } from '../../shared/protocol/topology.ts'
import { apartMs, type Pairs } from './apart.ts'
import type { Losses } from './back-off.ts'
import { firstArrival } from './failure-detector.ts'
import { ahead, type Member } from './member.ts'
import { Members, noMembers, rankIn } from './members.ts'

export type Phase = 'waiting' | 'forming' | 'running' | 'halting' | 'ended'

export interface Outcome {
  readonly status: 'completed' | 'interrupted' | 'failed'
  readonly reason: string
}

export interface MembershipOptions {
  /** The run pauses below so many. */
  readonly minWorkers: number
  /** The first group waits for so many. */
  readonly startWorkers: number
  readonly maxWorkers: number
  /** A member that says or does nothing for so long is expelled. */
  readonly faultMs: number
  /** So long do members step on without a word from the coordinator. */
  readonly orphanMs: number
  readonly heartbeatMs: number
  /** Whether groups go through the hub of the coordinator: `fall-back`, where members do not reach each other (apart.ts). */
  readonly hub: 'always' | 'fall-back' | 'never'
  /** Workers that hold a model together, each a stage of it; left out: each holds the whole. */
  readonly stages?: number
}

export interface Membership {
  readonly options: MembershipOptions
  readonly phase: Phase
  readonly generation: number
  readonly members: Members
  /** Worker ids by rank of this generation, lost ones included. */
  readonly group: readonly string[]
  /** Step of the newest checkpoint: where to start when nobody holds anything. */
  readonly storedStep: number
  /** States of this generation and older are void: the run has gone back behind them. */
  readonly voidThrough: number
  /** Why the group is halted, or the next one formed. */
  readonly reason: string
  readonly aborted: boolean
  readonly haltingSince: number
  /** No group without a member of the last one before this time: the lost may be stepping still. */
  readonly fencedUntil: number
  /** The last group can step no more: one that was in it has halted, or has ended. */
  readonly fenced: boolean
  /** Members of the last group that were lost but may live still, and hold its state. */
  readonly outOfSight: ReadonlySet<string>
  /** The furthest state that anybody is known to have held. */
  readonly furthest: StateIdentity | null
  /** A group has formed in this sitting. */
  readonly formed: boolean
  readonly stopping: boolean
  /** Somebody asked for a pause: no group forms before they ask to go on. */
  readonly held: boolean
  readonly losses: ReadonlyMap<string, Losses>
  /** Members whose links to each other failed. */
  readonly pairs: Pairs
  /** How the group hangs together, as of its start. */
  readonly topology: Topology
  /** Groups that form before this time go through the hub. */
  readonly hubUntil: number
  /** Seconds of a step lately; a rank that lags by much more is stalled. */
  readonly stepMs: number
  readonly outcome: Outcome | null
}

export function initialMembership(
  options: MembershipOptions,
  from: { generation: number; storedStep: number; held?: boolean } = { generation: 0, storedStep: 0 },
): Membership {
  return {
    options,
    phase: 'waiting',
    generation: from.generation,
    members: noMembers,
    group: [],
    storedStep: from.storedStep,
    voidThrough: 0,
    reason: 'start',
    aborted: false,
    haltingSince: 0,
    fencedUntil: 0,
    fenced: true,
    outOfSight: new Set(),
    furthest: null,
    formed: false,
    stopping: false,
    held: from.held ?? false,
    losses: new Map(),
    pairs: new Map(),
    topology: unknownTopology(0),
    hubUntil: 0,
    stepMs: 0,
    outcome: null,
  }
}

const mostNames = 8

/** So long may the members of a group that is taken over take to come back. */
const returnMs = 5000

/** The group of a coordinator that crashed: stepping still, for all that is known. */
export function inheritedMembership(
  options: MembershipOptions,
  from: {
    generation: number
    storedStep: number
    held?: boolean
    started: boolean
    state: StateIdentity | null
    group: readonly { workerId: string; endpoint: string }[]
    topology: Topology
  },
  now: number,
): Membership {
  const members = from.group.map(
    ({ workerId, endpoint }): Member => ({
      ...newMember(workerId, options.heartbeatMs, now + returnMs),
      ...{ endpoint, standing: 'running', step: from.state?.step ?? 0 },
    }),
  )
  return {
    ...initialMembership(options, from),
    voidThrough: from.state?.generation === 0 ? from.generation - 1 : 0,
    phase: from.started ? 'running' : 'halting',
    members: Members.of(members),
    group: from.group.map(({ workerId }) => workerId),
    reason: 'the coordinator came back before the group had started',
    aborted: true,
    haltingSince: now + returnMs,
    fenced: false,
    formed: true,
    furthest: from.state,
    topology: from.topology,
    hubUntil: from.topology.hub ? now + apartMs : 0,
  }
}

export function newMember(workerId: string, heartbeatMs: number, now: number): Member {
  return {
    workerId,
    standing: 'warming',
    endpoint: '',
    state: null,
    held: null,
    step: 0,
    report: null,
    since: now,
    heartbeats: firstArrival(now, heartbeatMs),
    lastHeard: now,
    draining: false,
    entered: 0,
    inCollective: false,
    fetched: 0,
    movedAt: now,
  }
}

/** Members of the group that are still there. */
export function present(state: Membership): Member[] {
  return state.group.flatMap((id) => presentMember(state, id) ?? [])
}

/** As `present(state).every(…)`, without a list: each of a thousand members has its word in a change of membership. */
export function everyPresent(state: Membership, holds: (member: Member) => boolean): boolean {
  return !state.members.values().some((member) => !holds(member) && isPresent(state, member.workerId))
}

export function isPresent(state: Membership, workerId: string): boolean {
  return rankIn(state.group, workerId) >= 0 && presentMember(state, workerId) !== null
}

function presentMember(state: Membership, workerId: string): Member | null {
  const member = state.members.get(workerId)
  return member && member.standing !== 'warming' && member.standing !== 'ready' ? member : null
}

export function update(state: Membership, workerId: string, now: number, change: Partial<Member>): Membership {
  const member = state.members.get(workerId)
  if (!member) return state
  return { ...state, members: state.members.with({ ...member, lastHeard: now, ...change }) }
}

export function note(state: Membership, identity: StateIdentity | null): Membership {
  return ahead(identity, state.furthest) && !isVoid(state, identity) ? { ...state, furthest: identity } : state
}

/** A state from before the run went back. That of the seed, and that of the checkpoint itself, never are. */
export function isVoid(state: Membership, identity: StateIdentity | null): boolean {
  if (identity === null || identity.generation > state.voidThrough) return false
  return identity.generation > 0 || (identity.step > 0 && identity.step !== state.storedStep)
}

/** Names, in a sentence that a thousand workers are told. */
export function named(workerIds: readonly string[]): string {
  const more = workerIds.length - mostNames
  return more > 1 ? `${workerIds.slice(0, mostNames).join(', ')} and ${more} more` : workerIds.join(', ')
}

export function without(ids: ReadonlySet<string>, workerId: string): ReadonlySet<string> {
  return ids.has(workerId) ? new Set([...ids].filter((id) => id !== workerId)) : ids
}
