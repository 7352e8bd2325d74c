import type { MembershipEffect, MembershipEvent } from '../../coordinator/membership/events.ts'
import { decide } from '../../coordinator/membership/membership.ts'
import { initialMembership, type Membership, type MembershipOptions } from '../../coordinator/membership/state.ts'

/** Plays events through the pure core and keeps what it wants done. */
export class Play {
  state: Membership
  effects: MembershipEffect[] = []
  now = 0

  constructor(startWorkers: number, options: Partial<MembershipOptions> & { storedStep?: number } = {}) {
    const { minWorkers = 1, maxWorkers = 8, storedStep = 0, hub = 'never', stages = 1 } = options
    this.state = initialMembership(
      { startWorkers, minWorkers, maxWorkers, faultMs: 3000, orphanMs: 60_000, heartbeatMs: 250, hub, stages },
      { generation: 0, storedStep },
    )
  }

  on(event: MembershipEvent): this {
    const { state, effects } = decide(this.state, event, this.now)
    this.state = state
    this.effects = [...this.effects, ...effects]
    return this
  }

  after(ms: number): this {
    this.now += ms
    return this
  }

  ready(workerId: string, state: { generation: number; step: number } | null = null, left = 0): this {
    return this.on({ kind: 'hello', workerId }).on({
      kind: 'ready',
      workerId,
      endpoint: `tcp://${workerId}`,
      left,
      state,
    })
  }

  joined(): this {
    for (const workerId of this.state.group)
      this.on({ kind: 'joined', workerId, generation: this.state.generation, report: { sameHost: [], links: [] } })
    return this
  }

  running(...workerIds: string[]): this {
    for (const workerId of workerIds) this.on({ kind: 'hello', workerId })
    for (const workerId of workerIds) this.ready(workerId)
    return this.joined().committed(1)
  }

  committed(step: number, ...workerIds: string[]): this {
    const { generation, group } = this.state
    for (const workerId of workerIds.length > 0 ? workerIds : group)
      this.on({ kind: 'committed', workerId, generation, step, seconds: 0.05 })
    return this
  }

  halted(workerId: string, step: number, generation = this.state.generation): this {
    return this.on({ kind: 'halted', workerId, generation, state: { generation, step }, reason: 'aborted' })
  }

  left(workerId: string, certain = true): this {
    return this.on({ kind: 'left', workerId, loss: 'dead', certain, reason: 'ended by SIGKILL' })
  }

  heartbeat(workerId: string, entered = 1, reduced = entered): this {
    const { generation } = this.state
    return this.on({ kind: 'heartbeat', workerId, generation, step: 1, entered, reduced, fetched: 0 })
  }

  /** The effects since the last call. */
  take(): MembershipEffect[] {
    const { effects } = this
    this.effects = []
    return effects
  }

  get formed() {
    return this.effects.flatMap((effect) => (effect.kind === 'form' ? [effect] : [])).at(-1)
  }

  get ranks(): string[] | undefined {
    return this.formed?.quorum.group.map((member) => member.workerId)
  }
}
