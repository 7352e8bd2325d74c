import type { HeldStage, StateIdentity } from '../../shared/protocol/control.ts'
import type { RankReport } from '../../shared/protocol/topology.ts'
import type { Arrivals } from './failure-detector.ts'

/** One worker, as the coordinator knows it. */
export interface Member {
  readonly workerId: string
  /** `warming`: loads TensorFlow and data; `ready`: in no group; `joining`, `running`, `halted`: in the group; `finished`: with all steps. */
  readonly standing: 'warming' | 'ready' | 'joining' | 'joined' | 'running' | 'finished' | 'halted'
  readonly endpoint: string
  /** The bits that it holds, as of its last word about them; null: none worth having. */
  readonly state: StateIdentity | null
  /** Of a pipeline: its stage, and the state that it can go back to; null: it holds the whole model. */
  readonly held: HeldStage | null
  readonly step: number
  /** On its links to the other ranks of the group, once it has joined. */
  readonly report: RankReport | null
  readonly since: number
  readonly heartbeats: Arrivals
  /** Heard from in any way. */
  readonly lastHeard: number
  readonly draining: boolean
  /** Collectives that it has entered in this generation. */
  readonly entered: number
  /** It is in one now, and waits for others. */
  readonly inCollective: boolean
  /** Pieces of state that it has fetched. */
  readonly fetched: number
  /** Since when these two numbers stand. */
  readonly movedAt: number
}

export interface Loss {
  readonly workerId: string
  /** `dead`: its process or its connection ended; `silent`; `stalled`: it answers but does not step; `left`; `diverged`; `apart`: it and another one do not reach each other. */
  readonly kind: 'dead' | 'silent' | 'stalled' | 'left' | 'diverged' | 'apart'
  readonly reason: string
}

/** Whether identity `a` is ahead of `b`; everything is ahead of nothing. */
export function ahead(a: StateIdentity | null, b: StateIdentity | null): boolean {
  if (a === null || b === null) return a !== null
  return a.generation === b.generation ? a.step > b.step : a.generation > b.generation
}
