import { linkFailed, linksHold } from './apart.ts'
import { noteLoss } from './back-off.ts'
import { chain, type Decision, type MembershipEffect, type MembershipEvent, still } from './events.ts'
import { arrival } from './failure-detector.ts'
import { candidates, formIfEnough, goesThroughHub, started } from './formation.ts'
import type { Loss, Member } from './member.ts'
import { rankIn } from './members.ts'
import { wholePipelines } from './pipeline-quorum.ts'
import { checkpoint, hold, pause, pauseHeld, resume, stop } from './requests.ts'
import { returned, startAgain } from './returning.ts'
import {
  everyPresent,
  isPresent,
  type Membership,
  named,
  newMember,
  note,
  type Outcome,
  present,
  update,
  without,
} from './state.ts'
import { patience, slept, suspects } from './suspicion.ts'

/**
 * Who trains: a pure state machine, (state, event, now) → {state, effects}; no sockets, timers or clock inside.
 * `waiting` (for enough workers) → `forming` (told who is in) → `running` → `halting` (until every member of the group
 * has left it, or is lost) → `waiting` … → `ended`. Why there are never two groups: docs/adr/0005-recovery.md.
 */
export function decide(state: Membership, event: MembershipEvent, now: number): Decision {
  if (state.phase === 'ended') {
    if (event.kind !== 'hello') return still(state)
    return refuse(state, event.workerId, 'run-over', 'the run is over')
  }
  switch (event.kind) {
    case 'hello':
      return hello(state, event.workerId, now)
    case 'ready':
      return ready(state, event, now)
    case 'joined':
      if (event.generation !== state.generation) return still(state)
      if (state.phase !== 'forming') return startAgain(state, event.workerId)
      return startIfJoined(update(state, event.workerId, now, { standing: 'joined', report: event.report }), now)
    case 'returned':
      return returned(update(state, event.workerId, now, {}), event.workerId)
    case 'heard':
      return still(update(state, event.workerId, now, {}))
    case 'heartbeat':
      return still(heartbeat(state, event, now))
    case 'committed':
      return still(committed(state, event, now))
    case 'suspect':
      return suspect(update(state, event.workerId, now, {}), event, now)
    case 'halted':
      if (event.generation !== state.generation || rankIn(state.group, event.workerId) < 0) return still(state)
      return halted(state, event, now)
    case 'finished':
      if (event.generation !== state.generation) return still(state)
      return endIfFinished(
        update(state, event.workerId, now, { standing: 'finished', step: event.step }),
        event.stopped,
      )
    case 'drain':
      return drain(state, event.workerId, event.reason, now)
    case 'left':
      return lose(state, { workerId: event.workerId, kind: event.loss, reason: event.reason }, event.certain, now)
    case 'stored':
      return still({ ...state, storedStep: event.step })
    case 'rollBack':
      return rollBack(state, event, now)
    case 'reform':
      return state.phase === 'running' && !state.stopping ? pause(state, event.reason, now) : still(state)
    case 'stopRequested':
      return stop(state, now)
    case 'pauseRequested':
      return admit(hold(state), now)
    case 'resumeRequested':
      return state.held ? admit(resume(state), now) : still(state)
    case 'checkpointRequested':
      return checkpoint(state)
    case 'failRun':
      return end(state, { status: 'failed', reason: event.reason })
    case 'slept':
      return still(slept(state, now))
    case 'tick':
      return tick(state, now)
    default:
      return event satisfies never
  }
}

function hello(state: Membership, workerId: string, now: number): Decision {
  if (!state.members.has(workerId) && state.members.size >= 2 * state.options.maxWorkers)
    return refuse(
      state,
      workerId,
      'run-full',
      `the run takes ${state.options.maxWorkers} workers at most; start the coordinator with a larger --max-workers`,
    )
  const member = newMember(workerId, state.options.heartbeatMs, now)
  return still({ ...state, members: state.members.with(member) })
}

function ready(state: Membership, event: Extract<MembershipEvent, { kind: 'ready' }>, now: number): Decision {
  const { workerId, endpoint, left } = event
  const next = update(state, workerId, now, {
    ...{ standing: 'ready', endpoint, state: event.state, held: event.held ?? null },
  })
  const outOfSight = without(state.outOfSight, workerId)
  return admit({ ...next, outOfSight, fenced: next.fenced || left === state.generation }, now)
}

function refuse(state: Membership, workerId: string, code: string, message: string): Decision {
  return { state, effects: [{ kind: 'refuse', workerId, code, message }] }
}

function heartbeat(state: Membership, event: Extract<MembershipEvent, { kind: 'heartbeat' }>, now: number): Membership {
  const member = state.members.get(event.workerId)
  if (!member) return state
  const change: Partial<Member> = { heartbeats: arrival(member.heartbeats, now) }
  if (event.generation !== state.generation) return update(state, event.workerId, now, change)
  const { entered, reduced, fetched } = event
  const moved = entered === member.entered && fetched === member.fetched ? {} : { entered, fetched, movedAt: now }
  const step = Math.max(member.step, event.step)
  return update(state, event.workerId, now, { ...change, ...moved, step, inCollective: entered > reduced })
}

function committed(state: Membership, event: Extract<MembershipEvent, { kind: 'committed' }>, now: number): Membership {
  const ms = event.seconds * 1000
  const stepMs = state.stepMs === 0 ? ms : state.stepMs + 0.1 * (ms - state.stepMs)
  const { generation, step } = event
  if (rankIn(state.group, event.workerId) < 0 || generation !== state.generation) return state
  const pairs = state.topology.hub ? state.pairs : linksHold(state.pairs, state.group)
  return update({ ...note(state, { generation, step }), stepMs, pairs }, event.workerId, now, {
    step,
    state: { generation, step },
  })
}

/** Somebody is ready: the first group forms once enough are, a running one halts at a step boundary to take them in. */
function admit(state: Membership, now: number): Decision {
  if (state.phase === 'waiting') return formIfEnough(state, now)
  if (state.phase !== 'running' || state.stopping) return still(state)
  const here = present(state)
  const finishing = here.some((member) => member.standing === 'finished')
  const leaver = here.find((member) => member.draining)
  if (state.held && !finishing) return pauseHeld(state, now)
  if (leaver && !finishing) return pause(state, `${leaver.workerId} leaves`, now)
  if (finishing || here.length >= state.options.maxWorkers) return still(state)
  if (!state.members.values().some((member) => member.standing === 'ready')) return still(state)
  const { stages = 1, maxWorkers } = state.options
  const entrants = candidates(state, now).filter((member) => member.standing === 'ready')
  const larger = wholePipelines(Math.min(maxWorkers, here.length + entrants.length), stages) > here.length
  if (entrants.length === 0 || (stages > 1 && !larger)) return still(state)
  return pause(state, `${named(entrants.map((member) => member.workerId))} joins`, now)
}

/** Fails the generation on all ranks at once. */
function abort(state: Membership, reason: string, now: number): Decision {
  if (state.phase !== 'running' && state.phase !== 'forming' && (state.phase !== 'halting' || state.aborted))
    return still(state)
  const workerIds = present(state).map((member) => member.workerId)
  return {
    state: { ...state, phase: 'halting', aborted: true, haltingSince: now, reason },
    effects: [{ kind: 'abort', generation: state.generation, workerIds, reason }],
  }
}

function rollBack(state: Membership, event: Extract<MembershipEvent, { kind: 'rollBack' }>, now: number): Decision {
  const { step, reason } = event
  const back = { ...state, storedStep: step, voidThrough: state.generation, furthest: null }
  return chain(abort(back, reason, now), (next) => formIfHalted(next, now))
}

function suspect(state: Membership, event: Extract<MembershipEvent, { kind: 'suspect' }>, now: number): Decision {
  const { workerId, suspect: other, generation } = event
  if (generation !== state.generation || !isPresent(state, other)) return still(state)
  const { pairs, apart } = linkFailed(state.pairs, workerId, other, generation, now)
  const next = { ...state, pairs }
  if (!apart || goesThroughHub(next, now, candidates(next, now)))
    return chain(abort(next, event.reason, now), (after) => formIfHalted(after, now))
  const [near = '', far = ''] = state.group.filter((id) => id === workerId || id === other) // the higher rank goes
  return lose(next, { workerId: far, kind: 'apart', reason: `it and ${near} do not reach each other` }, false, now)
}

function halted(state: Membership, event: Extract<MembershipEvent, { kind: 'halted' }>, now: number): Decision {
  const next = update({ ...note(state, event.state), fenced: true }, event.workerId, now, {
    standing: 'halted',
    state: event.state,
    held: event.held ?? null,
    step: event.state?.step ?? 0,
  })
  return chain(state.phase === 'halting' ? still(next) : abort(next, event.reason, now), (after) =>
    formIfHalted(after, now),
  )
}

function formIfHalted(state: Membership, now: number): Decision {
  if (state.phase !== 'halting' || !everyPresent(state, ({ standing }) => standing === 'halted')) return still(state)
  const released = present(state).filter((member) => member.draining)
  const members =
    released.length === 0 ? state.members : state.members.without(...released.map(({ workerId }) => workerId))
  const effects = released.map(({ workerId }): MembershipEffect => ({ kind: 'released', workerId, reason: 'drained' }))
  return chain({ state: { ...state, phase: 'waiting', members }, effects }, (next) => formIfEnough(next, now, true))
}

function startIfJoined(state: Membership, now: number): Decision {
  if (!everyPresent(state, ({ standing }) => standing === 'joined')) return still(state)
  return chain(started(state, now), (next) => admit(next, now))
}

function endIfFinished(state: Membership, stopped: boolean): Decision {
  // A pause that comes with the last step finds everybody finished.
  if (state.phase !== 'running' && (state.phase !== 'halting' || state.aborted)) return still(state)
  if (!present(state).every((member) => member.standing === 'finished')) return still(state)
  return end(
    state,
    stopped
      ? { status: 'interrupted', reason: 'stopped on request' }
      : { status: 'completed', reason: 'all steps are done' },
  )
}

function end(state: Membership, outcome: Outcome): Decision {
  return { state: { ...state, phase: 'ended', outcome }, effects: [{ kind: 'end', outcome }] }
}

/** A member that wants to go does so at the next step boundary; anybody else at once. */
function drain(state: Membership, workerId: string, reason: string, now: number): Decision {
  const member = state.members.get(workerId)
  if (!member) return still(state)
  const next = update(state, workerId, now, { draining: true })
  if (!isPresent(state, workerId) || member.standing === 'halted') {
    const members = next.members.without(workerId)
    return { state: { ...next, members }, effects: [{ kind: 'released', workerId, reason }] }
  }
  return admit(next, now) // now, or when the group has started
}

/** A worker is gone. Its group, if it was in one, halts at once and forms again from the others. */
function lose(state: Membership, loss: Loss, certain: boolean, now: number): Decision {
  const member = state.members.get(loss.workerId)
  if (!member) return certain ? ended(state, loss.workerId, now) : still(state)
  const members = state.members.without(loss.workerId)
  const inGroup = isPresent(state, loss.workerId)
  const effect: MembershipEffect = {
    kind: 'lost',
    workerId: loss.workerId,
    loss,
    step: member.step,
    generation: state.generation,
    wasMember: inGroup && state.phase !== 'waiting',
    silentMs: Math.max(0, now - member.lastHeard),
  }
  const losses = inGroup
    ? new Map(state.losses).set(loss.workerId, noteLoss(state.losses.get(loss.workerId), now))
    : state.losses
  const halted = member.standing === 'halted' // it will not step in that generation any more, wherever it is
  const fenced = state.fenced || (inGroup && (certain || halted))
  const fencedUntil = inGroup ? now + state.options.orphanMs : state.fencedUntil
  const outOfSight = inGroup && !certain ? new Set([...state.outOfSight, loss.workerId]) : state.outOfSight
  const next: Membership = { ...state, members, losses, fenced, fencedUntil, outOfSight }
  const reason = `${loss.workerId} is lost: ${loss.reason}`
  if (!inGroup || state.phase === 'waiting')
    return chain({ state: next, effects: [effect] }, (after) => admit(after, now))
  const aborting = abort({ ...next, reason }, reason, now)
  const effects = [effect, ...aborting.effects]
  return chain({ state: { ...aborting.state, reason }, effects }, (after) => formIfHalted(after, now))
}

/** One that was out of sight has ended: nobody has to wait for it. */
function ended(state: Membership, workerId: string, now: number): Decision {
  if (!state.outOfSight.has(workerId)) return still(state)
  return admit({ ...state, fenced: true, outOfSight: without(state.outOfSight, workerId) }, now)
}

function tick(state: Membership, now: number): Decision {
  let decision: Decision = still(state)
  for (const loss of suspects(state, now)) decision = chain(decision, (next) => lose(next, loss, false, now))
  return chain(decision, (next) => chain(abortIfStuck(next, now), (after) => admit(after, now)))
}

/** All wait for each other, and nobody moves: what they wait for was lost on the way. They take the step again. */
function abortIfStuck(state: Membership, now: number): Decision {
  const stepping = state.phase === 'running' || (state.phase === 'halting' && !state.aborted)
  const group = present(state)
  const waiting = group.every(({ standing, inCollective }) => standing === 'running' && inCollective)
  if (!stepping || !waiting) return still(state)
  const idleMs = now - Math.max(...group.map((member) => member.movedAt))
  if (idleMs <= 2 * patience(state)) return still(state)
  return abort(state, `nobody has moved for ${Math.round(idleMs / 1000)} s`, now)
}
