import { type Decision, still, toCheckpoint, toStop } from './events.ts'
import { formIfEnough } from './formation.ts'
import { type Membership, present } from './state.ts'

/** All ranks halt at the same step boundary. */
export function pause(state: Membership, reason: string, now: number): Decision {
  const workerIds = present(state).map((member) => member.workerId)
  return {
    state: { ...state, phase: 'halting', aborted: false, haltingSince: now, reason },
    effects: [{ kind: 'pause', generation: state.generation, workerIds, reason }],
  }
}

/** Somebody asked for a pause: the group saves its state and halts, and no other forms until `resume`. */
export function hold(state: Membership): Membership {
  return state.stopping ? state : { ...state, held: true }
}

/** Every rank asks for the checkpoint first, so that whoever's wish for the pause comes through has asked for both. */
export function pauseHeld(state: Membership, now: number): Decision {
  const { state: paused, effects } = pause(state, 'paused on request', now)
  return { state: paused, effects: [toCheckpoint(present(state).map(({ workerId }) => workerId)), ...effects] }
}

export function resume(state: Membership): Membership {
  return state.held ? { ...state, held: false, reason: 'resumed on request' } : state
}

/** A checkpoint at the next step boundary, outside of the usual interval. */
export function checkpoint(state: Membership): Decision {
  return state.phase === 'running' ? { state, effects: [toCheckpoint(state.group.slice(0, 1))] } : still(state)
}

export function stop(state: Membership, now: number): Decision {
  const stopping = { ...state, stopping: true, held: false }
  if (state.phase !== 'waiting') return { state: stopping, effects: [toStop(state.group)] }
  // Paused: those that hold the state form once more, to save it.
  if (state.members.values().some((member) => member.standing === 'halted')) return formIfEnough(stopping, now)
  const outcome = { status: 'interrupted', reason: 'stopped while no group was formed' } as const
  return { state: { ...stopping, phase: 'ended', outcome }, effects: [{ kind: 'end', outcome }] }
}
