import type { ToCoordinator } from '../shared/protocol/control.ts'
import type { MembershipEvent } from './membership/events.ts'
import type { Membership } from './membership/state.ts'
import { type Pace, Stragglers } from './membership/stragglers.ts'
import { Replicas } from './replicas.ts'
import type { RunRecord } from './run-record.ts'

/** Workers of a group beside each other: do they hold the same bits, is one of them slow? */
export class Comparison {
  readonly #record: RunRecord
  readonly #membership: () => Membership
  readonly #apply: (event: MembershipEvent) => void
  readonly #replicas = new Replicas()
  readonly #stragglers = new Stragglers()

  constructor(record: RunRecord, membership: () => Membership, apply: (event: MembershipEvent) => void) {
    this.#record = record
    this.#membership = membership
    this.#apply = apply
    record.metrics.watchSlow(() => this.#stragglers.causes)
  }

  formed(group: readonly string[]): void {
    this.#stragglers.formed(group)
  }

  steps(workerId: string, { generation, steps, load }: Extract<ToCoordinator, { kind: 'committed' }>): void {
    this.#record.goodput.steps(workerId, generation, steps)
    if (generation !== this.#membership().generation) return
    if (load) {
      const inputSeconds = steps.reduce((sum, { phaseSeconds }) => sum + (phaseSeconds.input ?? 0), 0) / steps.length
      const { stoppedSeconds, delayedSeconds, gcSeconds } = load
      const ofStep = (seconds: number) => seconds / steps.length
      this.#stragglers.load(
        workerId,
        {
          ...{ stoppedSeconds: ofStep(stoppedSeconds), delayedSeconds: ofStep(delayedSeconds) },
          ...{ gcSeconds: ofStep(gcSeconds), inputSeconds },
        },
        steps.length,
      )
    }
    for (const { seconds, allReduceSeconds } of steps) {
      const straggler = this.#stragglers.report(workerId, seconds - allReduceSeconds)
      if (straggler) this.#record.straggles(straggler)
    }
  }

  pace(workerId: string): Pace {
    return this.#stragglers.pace(workerId)
  }

  /** Whoever holds other bits than most is expelled; where nobody can tell who is right, everybody is. */
  hash(workerId: string, message: Extract<ToCoordinator, { kind: 'replicaHash' }>): void {
    const { generation, step, weightsSha256: hash } = message
    const { generation: current, group } = this.#membership()
    if (generation !== current) return
    const divergence = this.#replicas.report({ workerId, generation, step, hash }, group)
    if (!divergence) return
    this.#record.diverged(divergence)
    this.#apply({ kind: 'stored', step: this.#record.checkpoints.step })
    const reason = `its weights at step ${step} are not those of the others`
    for (const id of divergence.workerIds)
      this.#apply({ kind: 'left', workerId: id, loss: 'diverged', certain: true, reason })
  }
}
