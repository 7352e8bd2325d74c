/**
 * Who trains: a pure state machine, (state, event, now) → {state, effects}; no sockets, timers or clock inside.
 * A group forms once `minWorkers` are ready. This version ends the run when a member of the group is lost; forming the
 * next generation from the survivors is a change of `lose` alone.
 */
export interface Member {
  readonly workerId: string
  readonly endpoint: string | null
  readonly joined: boolean
  readonly finished: boolean
  /** Committed step that the member last reported. */
  readonly step: number
  readonly lastHeard: number
}

export type Phase = 'waiting' | 'forming' | 'running' | 'ending' | 'ended'

export interface Outcome {
  readonly status: 'completed' | 'interrupted' | 'failed'
  readonly reason: string
}

export interface Membership {
  readonly phase: Phase
  readonly generation: number
  readonly members: ReadonlyMap<string, Member>
  /** Worker ids by rank. */
  readonly group: readonly string[]
  readonly minWorkers: number
  readonly maxWorkers: number
  readonly silenceMs: number
  readonly outcome: Outcome | null
  /** When a member first said that the collective failed, and why; who is missing shows soon after. */
  readonly failure: { readonly since: number; readonly reason: string } | null
}

export type MembershipEvent =
  | { kind: 'hello'; workerId: string }
  | { kind: 'ready'; workerId: string; endpoint: string; step: number }
  | { kind: 'joined'; workerId: string; generation: number }
  | { kind: 'heard'; workerId: string; step: number | null }
  | { kind: 'failed'; workerId: string; generation: number; step: number; reason: string }
  | { kind: 'finished'; workerId: string; generation: number; step: number; stopped: boolean }
  | { kind: 'left'; workerId: string; reason: string }
  | { kind: 'diverged'; step: number; reason: string }
  | { kind: 'stopRequested' }
  | { kind: 'tick' }

export type MembershipEffect =
  | { kind: 'form'; generation: number; step: number; group: readonly Member[]; reason: string }
  | { kind: 'start'; generation: number; group: readonly string[] }
  | { kind: 'abort'; generation: number; workerIds: readonly string[]; reason: string }
  | { kind: 'refuse'; workerId: string; code: string; message: string }
  | { kind: 'lost'; workerId: string; step: number; detectMs: number; reason: string }
  | { kind: 'requestStop'; workerIds: readonly string[] }
  /** Somebody was lost: the survivor that is furthest saves its state, then the run ends. */
  | { kind: 'salvage'; workerId: string; step: number }
  | { kind: 'end'; outcome: Outcome }

export interface Decision {
  readonly state: Membership
  readonly effects: readonly MembershipEffect[]
}

export function initialMembership(options: {
  minWorkers: number
  maxWorkers: number
  silenceMs: number
  generation?: number
}): Membership {
  return {
    phase: 'waiting',
    generation: options.generation ?? 0,
    members: new Map(),
    group: [],
    minWorkers: options.minWorkers,
    maxWorkers: options.maxWorkers,
    silenceMs: options.silenceMs,
    outcome: null,
    failure: null,
  }
}

export function decide(state: Membership, event: MembershipEvent, now: number): Decision {
  if (state.phase === 'ended' && event.kind !== 'hello') return still(state)
  switch (event.kind) {
    case 'hello':
      return hello(state, event.workerId, now)
    case 'ready':
      return formIfEnough(update(state, event.workerId, { endpoint: event.endpoint, step: event.step, lastHeard: now }))
    case 'joined':
      return event.generation === state.generation
        ? startIfJoined(update(state, event.workerId, { joined: true, lastHeard: now }))
        : still(state)
    case 'heard':
      return still(
        update(state, event.workerId, event.step === null ? { lastHeard: now } : { lastHeard: now, step: event.step }),
      )
    case 'failed':
      return event.generation === state.generation
        ? failed(update(state, event.workerId, { step: event.step, lastHeard: now }), event.workerId, event.reason, now)
        : still(state)
    case 'finished':
      return event.generation === state.generation
        ? endIfFinished(
            update(state, event.workerId, { finished: true, step: event.step, lastHeard: now }),
            event.stopped,
          )
        : still(state)
    case 'left':
      return lose(state, event.workerId, event.reason, now)
    case 'diverged':
      return end(state, { status: 'failed', reason: event.reason })
    case 'stopRequested':
      return stop(state)
    case 'tick':
      return tick(state, now)
    default:
      return event satisfies never
  }
}

const still = (state: Membership): Decision => ({ state, effects: [] })

function update(state: Membership, workerId: string, change: Partial<Member>): Membership {
  const member = state.members.get(workerId)
  if (!member) return state
  return { ...state, members: new Map(state.members).set(workerId, { ...member, ...change }) }
}

function hello(state: Membership, workerId: string, now: number): Decision {
  const refuse = (code: string, message: string): Decision => ({
    state,
    effects: [{ kind: 'refuse', workerId, code, message }],
  })
  if (state.phase === 'ending' || state.phase === 'ended') return refuse('run-over', 'the run is over')
  if (state.group.includes(workerId))
    return refuse('worker-id-taken', `worker id ${workerId} is in the group; start the worker with another --id`)
  if (state.phase !== 'waiting') return refuse('run-closed', 'the run has started; a worker cannot join it any more')
  if (!state.members.has(workerId) && state.members.size >= state.maxWorkers) {
    return refuse(
      'run-full',
      `the run takes ${state.maxWorkers} workers at most; start the coordinator with a larger --max-workers`,
    )
  }
  const member: Member = { workerId, endpoint: null, joined: false, finished: false, step: 0, lastHeard: now }
  return still({ ...state, members: new Map(state.members).set(workerId, member) })
}

function formIfEnough(state: Membership): Decision {
  const ready = [...state.members.values()].filter((member) => member.endpoint !== null)
  const coming = state.members.size - ready.length
  if (state.phase !== 'waiting' || ready.length < state.minWorkers || coming > 0) return still(state)
  const group = [...ready].sort((a, b) => a.workerId.localeCompare(b.workerId, 'en', { numeric: true }))
  const generation = state.generation + 1
  const step = Math.max(...group.map((member) => member.step))
  const next: Membership = { ...state, phase: 'forming', generation, group: group.map((member) => member.workerId) }
  return {
    state: next,
    effects: [{ kind: 'form', generation, step, group, reason: `${ready.length} ready, ${state.minWorkers} wanted` }],
  }
}

function startIfJoined(state: Membership): Decision {
  const all = state.group.every((workerId) => state.members.get(workerId)?.joined)
  if (state.phase !== 'forming' || !all) return still(state)
  return {
    state: { ...state, phase: 'running' },
    effects: [{ kind: 'start', generation: state.generation, group: state.group }],
  }
}

function endIfFinished(state: Membership, stopped: boolean): Decision {
  const all = state.group.every((workerId) => state.members.get(workerId)?.finished)
  if (state.phase !== 'running' || !all) return still(state)
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

function stop(state: Membership): Decision {
  if (state.phase === 'running' || state.phase === 'forming')
    return { state, effects: [{ kind: 'requestStop', workerIds: state.group }] }
  if (state.phase !== 'waiting') return still(state)
  return end(state, { status: 'interrupted', reason: 'stopped before the group had formed' })
}

function tick(state: Membership, now: number): Decision {
  for (const member of state.members.values()) {
    if (now - member.lastHeard > state.silenceMs && !member.finished) {
      return lose(state, member.workerId, `silent for ${Math.round((now - member.lastHeard) / 100) / 10} s`, now)
    }
  }
  const { failure } = state
  if (!failure || state.outcome || now - failure.since <= 2 * state.silenceMs) return still(state)
  const outcome: Outcome = {
    status: 'failed',
    reason: `the collective failed with every worker alive: ${failure.reason}`,
  }
  return salvage(state, outcome, [])
}

/** A member reports that the collective failed: it is a survivor; who is missing shows when it is heard of no more. */
function failed(state: Membership, workerId: string, reason: string, now: number): Decision {
  if (state.phase !== 'running' && state.phase !== 'forming') return still(state)
  const others = state.group.filter((id) => id !== workerId)
  const failure = state.failure ?? { since: now, reason: `${workerId}: ${reason}` }
  return {
    state: { ...state, failure },
    effects: [{ kind: 'abort', generation: state.generation, workerIds: others, reason }],
  }
}

function lose(state: Membership, workerId: string, reason: string, now: number): Decision {
  const lost = state.members.get(workerId)
  if (!lost) return still(state)
  const members = new Map(state.members)
  members.delete(workerId)
  const without = { ...state, members }
  if (!state.group.includes(workerId) || state.phase === 'waiting') return formIfEnough(without)
  if (state.phase === 'ending' || state.phase === 'ended') return still(without)
  const outcome: Outcome = { status: 'failed', reason: `worker ${workerId} is lost: ${reason}` }
  return salvage(without, outcome, [
    { kind: 'lost', workerId, step: lost.step, detectMs: now - lost.lastHeard, reason: outcome.reason },
  ])
}

/** The run ends as failed, after the survivor that is furthest has saved its state. */
function salvage(state: Membership, outcome: Outcome, effects: readonly MembershipEffect[]): Decision {
  const survivors = state.group.flatMap((id) => state.members.get(id) ?? [])
  const furthest = [...survivors].sort((a, b) => b.step - a.step)[0]
  if (!furthest)
    return { state: { ...state, phase: 'ended', outcome }, effects: [...effects, { kind: 'end', outcome }] }
  const abort: MembershipEffect = {
    kind: 'abort',
    generation: state.generation,
    workerIds: survivors.map((member) => member.workerId),
    reason: outcome.reason,
  }
  return {
    state: { ...state, phase: 'ending', outcome },
    effects: [...effects, abort, { kind: 'salvage', workerId: furthest.workerId, step: furthest.step }],
  }
}
