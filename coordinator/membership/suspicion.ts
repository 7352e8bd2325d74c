import { phi, phiLimit } from './failure-detector.ts'
import type { Loss, Member } from './member.ts'
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

/** A rank that has not entered a collective in which another one waits, for much longer than a step takes. */
function stalled(state: Membership, now: number): Loss[] {
  const group = present(state)
  if (state.phase === 'halting') return unanswering(state, group, now)
  if (state.phase !== 'running' || group.some((member) => member.standing === 'finished')) return []
  const most = Math.max(...group.map((member) => member.entered))
  const waitingSince = Math.max(...group.filter((member) => member.entered === most).map((member) => member.movedAt))
  const patienceMs = state.stepMs === 0 ? firstStepMs : Math.max(state.options.faultMs, 5 * state.stepMs)
  const waitedMs = now - waitingSince
  return group
    .filter((member) => member.entered < most && Math.min(waitedMs, now - member.movedAt) > patienceMs)
    .map(({ workerId }) => ({
      workerId,
      kind: 'stalled',
      reason: `it has kept the others waiting for ${seconds(waitedMs)}`,
    }))
}

/** After an abort every rank halts as soon as its kernel returns. */
function unanswering(state: Membership, group: readonly Member[], now: number): Loss[] {
  const patienceMs = Math.max(state.options.faultMs, state.stepMs === 0 ? firstStepMs : 5 * state.stepMs)
  return group
    .filter((member) => member.standing !== 'halted' && now - state.haltingSince > patienceMs)
    .map(({ workerId }) => ({ workerId, kind: 'stalled', reason: `it does not halt after ${seconds(patienceMs)}` }))
}

const seconds = (ms: number): string => `${Math.round(ms / 100) / 10} s`
