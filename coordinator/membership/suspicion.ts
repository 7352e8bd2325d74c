import { phi, phiLimit } from './failure-detector.ts'
import type { Loss, Member } from './member.ts'
import { Members } from './members.ts'
import { type Membership, present } from './state.ts'

/** The first steps compile kernels and fetch data. */
const firstStepMs = 30_000

/** Who is to be expelled now: the silent, and those that answer but keep the others waiting. Pure. */
export function suspects(state: Membership, now: number): Loss[] {
  const losses: Loss[] = []
  for (const member of state.members.values()) {
    const silentMs = now - member.lastHeard
    const hasty =
      phi({ ...member.heartbeats, last: member.lastHeard }, now) > phiLimit && silentMs > state.options.faultMs / 2
    if (hasty || silentMs > 0.9 * state.options.faultMs)
      losses.push({ workerId: member.workerId, kind: 'silent', reason: `silent for ${seconds(silentMs)}` })
  }
  if (losses.length > 0) return losses
  return [...stalled(state, now)]
}

/**
 * A rank that has not entered a collective in which another one waits, for much longer than a step takes. One that waits in the
 * collective before is not to blame: a rank may be one ahead of others that wait for each other.
 */
function stalled(state: Membership, now: number): Loss[] {
  const group = present(state)
  if (state.phase === 'halting' && state.aborted) return unanswering(state, group, now)
  if (state.phase !== 'running' && state.phase !== 'halting') return []
  if (group.some((member) => member.standing === 'finished')) return []
  // Before a pause, whoever has halted has done all that there is to do.
  const most = Math.max(...group.map((member) => member.entered))
  // Stages of a pipeline wait for each other at other times, each for as many: whoever does not wait is waited for.
  const pipelined = (state.options.stages ?? 1) > 1
  const isThrough = ({ standing, entered, inCollective }: Member) =>
    standing === 'halted' || (pipelined ? inCollective : entered === most)
  const someHalted = group.some(({ standing }) => standing === 'halted')
  const waitingSince = Math.max(...group.filter(isThrough).map((member) => member.movedAt))
  const waitedMs = now - waitingSince
  return group
    .filter((member) =>
      someHalted ? member.standing !== 'halted' : (pipelined || member.entered < most) && !member.inCollective,
    )
    .filter((member) => Math.min(waitedMs, now - member.movedAt) > patience(state))
    .map(({ workerId }) => ({
      workerId,
      kind: 'stalled',
      reason: `it has kept the others waiting for ${seconds(waitedMs)}`,
    }))
}

/** After an abort every rank halts as soon as its kernel returns. */
function unanswering(state: Membership, group: readonly Member[], now: number): Loss[] {
  const patienceMs = patience(state)
  return group
    .filter((member) => member.standing !== 'halted' && now - state.haltingSince > patienceMs)
    .filter((member) => member.lastHeard <= now) // one that is to come back to a new coordinator has heard nothing yet
    .map(({ workerId }) => ({ workerId, kind: 'stalled', reason: `it does not halt after ${seconds(patienceMs)}` }))
}

/** Milliseconds that a member may take for what others wait for. */
export function patience(state: Membership): number {
  return state.stepMs === 0 ? firstStepMs : Math.max(state.options.faultMs, 5 * state.stepMs)
}

/** This process stood still: nobody has been listened to. The time to come back to a new coordinator lies ahead, and stays. */
export function slept(state: Membership, now: number): Membership {
  const awake = state.members.values().map((member): Member => {
    const lastHeard = Math.max(member.lastHeard, now)
    const movedAt = Math.max(member.movedAt, now)
    return { ...member, lastHeard, movedAt, heartbeats: { ...member.heartbeats, last: lastHeard } }
  })
  return { ...state, members: Members.of(awake), haltingSince: Math.max(state.haltingSince, now) }
}

const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`
