import { topologyOf, unknownTopology } from '../../shared/collective/topology.ts'
import { apartMs, withoutApart } from './apart.ts'
import { backOffMs } from './back-off.ts'
import { type Decision, type MembershipEffect, toStop } from './events.ts'
import { ahead, type Member } from './member.ts'
import { rankIn } from './members.ts'
import { pipelineQuorum } from './pipeline-quorum.ts'
import { quorum } from './quorum.ts'
import { isVoid, type Membership, named, present } from './state.ts'

/** A state that one worker alone holds is lost with it. */
const enoughHolders = 2

/**
 * Workers that may be in the next generation. Those that come and go wait, but not where they hold the state and nobody
 * else does, and not where too few others would hold it.
 */
export function candidates(state: Membership, now: number): Member[] {
  const willing = state.members.values().filter((member) => !member.draining && member.standing !== 'warming')
  const waits = ({ workerId, standing, since }: Member) =>
    standing === 'ready' && now - since < backOffMs(state.losses.get(workerId), now)
  const others = willing.filter((member) => !waits(member))
  const needed = Math.max(state.options.minWorkers, enoughHolders) - others.length
  const losses = ({ workerId }: Member) => state.losses.get(workerId)?.count ?? 0
  const steadiest = new Set(
    willing
      .filter(waits)
      .sort((a, b) => losses(a) - losses(b))
      .slice(0, Math.max(0, needed)),
  )
  const chosen = willing.filter((member) => {
    if (!waits(member) || steadiest.has(member)) return true
    return !isVoid(state, member.state) && others.every((other) => ahead(member.state, other.state))
  })
  const place = ({ workerId }: Member) => rankIn(state.group, workerId) + 1 || Number.POSITIVE_INFINITY
  const inOrder = chosen.sort((a, b) =>
    ahead(a.state, b.state) ? -1 : ahead(b.state, a.state) ? 1 : place(a) - place(b),
  )
  if (state.pairs.size === 0 || goesThroughHub(state, now)) return chosen
  const together = withoutApart(inOrder, state.pairs, now)
  return cutOff(state, inOrder, together) ? chosen : together
}

/** Leaving out who does not reach the others would leave no more than half: then the hub is the better way for all. */
function cutOff(state: Membership, all: readonly Member[], together: readonly Member[]): boolean {
  return state.options.hub === 'fall-back' && together.length < all.length && 2 * together.length <= all.length
}

/** Whether a group of these candidates is to go through the hub of the coordinator (docs/adr/0014-star-through-the-coordinator.md). */
export function goesThroughHub(state: Membership, now: number, chosen: readonly Member[] = []): boolean {
  const { hub } = state.options
  if (hub !== 'fall-back') return hub === 'always'
  return state.hubUntil > now || cutOff(state, chosen, withoutApart(chosen, state.pairs, now))
}

/** Members out of sight may be stepping still, or hold what nobody else does. Not for ever: they stop in the end. */
function waitsFor(state: Membership, ready: readonly Member[], now: number): string | null {
  if (now >= state.fencedUntil) return null
  if (!state.fenced) return 'members of the last group are out of sight and may be stepping still'
  if (state.outOfSight.size === 0 || !ready.every((member) => ahead(state.furthest, member.state))) return null
  return `the state of step ${state.furthest?.step} is with ${named([...state.outOfSight])}, out of sight`
}

/** As it may be gone on from. */
function withoutVoid(state: Membership, member: Member): Member {
  const { held } = member
  const before = isVoid(state, held?.before ?? null) ? null : (held?.before ?? null)
  return {
    ...member,
    ...{ state: isVoid(state, member.state) ? null : member.state, held: held && { ...held, before } },
  }
}

/** Forms the next generation, or says what it waits for. */
export function formIfEnough(state: Membership, now: number, tell = false): Decision {
  const { startWorkers, minWorkers, maxWorkers, stages = 1 } = state.options
  const first = !state.formed
  const warming = first && !state.stopping && state.members.values().some((member) => member.standing === 'warming')
  if (warming && !tell) return { state, effects: [] }
  const ready = candidates(state, now).map((member) => withoutVoid(state, member))
  const wanted = Math.max(stages, state.stopping ? 1 : first ? startWorkers : minWorkers)
  const obstacle = state.held ? 'paused on request' : waitsFor(state, ready, now)
  if (stages > 1 && state.stopping && ready.length < stages && obstacle === null) return stopped(state)
  if (ready.length < wanted || warming || obstacle !== null) {
    const reason = obstacle ?? state.reason
    const effects: MembershipEffect[] = tell ? [{ kind: 'waiting', ready: ready.length, wanted, reason }] : []
    return { state, effects }
  }
  const generation = state.generation + 1
  const reason = first ? `${ready.length} ready, ${wanted} wanted` : state.reason
  const { storedStep, group: lastGroup } = state
  const question = { candidates: ready, lastGroup, maxWorkers, storedStep, reason }
  const next = stages > 1 ? pipelineQuorum(question, stages) : quorum(question)
  const joining = next.group.map(
    (member): Member => ({
      ...{ ...member, standing: 'joining', entered: 0, inCollective: false, movedAt: now, report: null },
    }),
  )
  const chosen = new Set(next.group.map(({ workerId }) => workerId))
  const waiting = ready
    .filter(({ workerId, standing }) => standing === 'halted' && !chosen.has(workerId))
    .map((member): Member => ({ ...member, standing: 'ready', since: now }))
  const hub = goesThroughHub(state, now, ready)
  const hubUntil = hub && state.options.hub === 'fall-back' && state.hubUntil <= now ? now + apartMs : state.hubUntil
  return {
    state: {
      ...state,
      phase: 'forming',
      generation,
      members: state.members.withAll([...joining, ...waiting]),
      group: next.group.map((member) => member.workerId),
      aborted: false,
      fenced: false,
      outOfSight: new Set(),
      furthest: next.state,
      voidThrough: next.source === null ? state.generation : state.voidThrough,
      formed: true,
      topology: unknownTopology(next.group.length, hub),
      hubUntil,
      reason,
    },
    effects: [{ kind: 'form', generation, quorum: next, hub }],
  }
}

/** Too few to make the model whole: what they hold is in the newest checkpoint, or is lost. */
function stopped(state: Membership): Decision {
  const outcome = { status: 'interrupted', reason: 'stopped while a stage was missing' } as const
  return { state: { ...state, phase: 'ended', outcome }, effects: [{ kind: 'end', outcome }] }
}

/** All have joined: they may step, and hear how their group hangs together. */
export function started(state: Membership, now: number): Decision {
  const { generation, group, stopping } = state
  const running = present(state).map((member): Member => ({ ...member, standing: 'running', movedAt: now }))
  const topology = state.topology.hub ? state.topology : topologyOf(running.map(({ report }) => report))
  const stop: MembershipEffect[] = stopping ? [toStop(group)] : []
  return {
    state: { ...state, phase: 'running', members: state.members.withAll(running), topology },
    effects: [{ kind: 'start', generation, group, topology }, ...stop],
  }
}
