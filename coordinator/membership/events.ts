import type { HeldStage, StateIdentity, ToWorker } from '../../shared/protocol/control.ts'
import type { RankReport, Topology } from '../../shared/protocol/topology.ts'
import type { Loss } from './member.ts'
import type { Quorum } from './quorum.ts'
import type { Membership, Outcome } from './state.ts'

export type MembershipEvent =
  | { kind: 'hello'; workerId: string }
  /** `left`: the last generation that it was in, and has left. */
  | {
      kind: 'ready'
      workerId: string
      endpoint: string
      left: number
      state: StateIdentity | null
      held?: HeldStage | undefined
    }
  | { kind: 'joined'; workerId: string; generation: number; report: RankReport }
  | { kind: 'heard'; workerId: string }
  | { kind: 'returned'; workerId: string }
  | {
      kind: 'heartbeat'
      workerId: string
      generation: number
      step: number
      entered: number
      reduced: number
      fetched: number
    }
  | { kind: 'committed'; workerId: string; generation: number; step: number; seconds: number }
  | { kind: 'suspect'; workerId: string; generation: number; suspect: string; reason: string }
  | {
      kind: 'halted'
      workerId: string
      generation: number
      state: StateIdentity | null
      held?: HeldStage | undefined
      reason: string
    }
  | { kind: 'finished'; workerId: string; generation: number; step: number; stopped: boolean }
  | { kind: 'drain'; workerId: string; reason: string }
  /** `certain`: its process is known to have ended. */
  | { kind: 'left'; workerId: string; loss: Loss['kind']; certain: boolean; reason: string }
  | { kind: 'stored'; step: number }
  /** Back to the checkpoint of this step (0: to the seed), whatever anybody holds. */
  | { kind: 'rollBack'; step: number; reason: string }
  /** Forms the group again at the next step boundary, with what it holds: something about the run has changed. */
  | { kind: 'reform'; reason: string }
  | { kind: 'stopRequested' }
  /** Until `resumeRequested`, whatever happens meanwhile. */
  | { kind: 'pauseRequested' }
  | { kind: 'resumeRequested' }
  | { kind: 'checkpointRequested' }
  | { kind: 'failRun'; reason: string }
  | { kind: 'slept' }
  | { kind: 'tick' }

type Request = Extract<ToWorker, { kind: 'stop' | 'checkpoint' }>

export type MembershipEffect =
  /** `hub`: data go through the coordinator. */
  | { kind: 'form'; generation: number; quorum: Quorum; hub: boolean }
  | { kind: 'start'; generation: number; group: readonly string[]; topology: Topology }
  | { kind: 'startAgain'; generation: number; workerId: string; topology: Topology }
  | { kind: 'abort'; generation: number; workerIds: readonly string[]; reason: string }
  | { kind: 'pause'; generation: number; workerIds: readonly string[]; reason: string }
  | { kind: 'refuse'; workerId: string; code: string; message: string }
  /** `generation`: the one that it was in. */
  | {
      kind: 'lost'
      workerId: string
      loss: Loss
      step: number
      generation: number
      wasMember: boolean
      silentMs: number
    }
  | { kind: 'released'; workerId: string; reason: string }
  | { kind: 'waiting'; ready: number; wanted: number; reason: string }
  /** At the next step boundary. */
  | { kind: 'request'; workerIds: readonly string[]; message: Request }
  | { kind: 'end'; outcome: Outcome }

export interface Decision {
  readonly state: Membership
  readonly effects: readonly MembershipEffect[]
}

export const still = (state: Membership): Decision => ({ state, effects: [] })

export function chain(first: Decision, next: (state: Membership) => Decision): Decision {
  const { state, effects } = next(first.state)
  return { state, effects: [...first.effects, ...effects] }
}

export const toStop = (workerIds: readonly string[]): MembershipEffect => ({
  kind: 'request',
  workerIds,
  message: { kind: 'stop', reason: 'stopped on request' },
})

export const toCheckpoint = (workerIds: readonly string[]): MembershipEffect => ({
  kind: 'request',
  workerIds,
  message: { kind: 'checkpoint' },
})

export const startMessage = ({ generation, topology }: Extract<MembershipEffect, { kind: 'start' | 'startAgain' }>) =>
  ({ kind: 'start', generation, topology }) as const
