import { type Decision, type MembershipEffect, still, toStop } from './events.ts'
import type { Membership } from './state.ts'

/** Its line was broken, or this coordinator has taken over: it may have missed the word to halt. */
export function returned(state: Membership, workerId: string): Decision {
  const missed = state.phase === 'halting' && state.members.get(workerId)?.standing !== 'halted'
  if (!missed) return still(state)
  const kind = state.aborted ? 'abort' : 'pause'
  return { state, effects: [{ kind, generation: state.generation, workerIds: [workerId], reason: state.reason }] }
}

/** It comes back, and may not have heard that its group has started. */
export function startAgain(state: Membership, workerId: string): Decision {
  const started = state.phase === 'running' || (state.phase === 'halting' && !state.aborted)
  if (!started || state.members.get(workerId)?.standing !== 'running') return still(state)
  const { generation, topology } = state
  const stop: MembershipEffect[] = state.stopping ? [toStop([workerId])] : []
  return { state, effects: [{ kind: 'startAgain', generation, workerId, topology }, ...stop] }
}
