import type { LaneDeal } from '../shared/core/schedule.ts'
import type { ToCoordinator } from '../shared/protocol/control.ts'
import type { JournalMember } from './journal/journal-record.ts'
import type { MembershipEvent } from './membership/events.ts'
import { type DealRule, LaneDealer, partsOf } from './membership/lane-dealer.ts'
import { rankIn } from './membership/members.ts'
import { SlowLinks } from './membership/slow-links.ts'
import type { Membership } from './membership/state.ts'
import { type Pace, Stragglers } from './membership/stragglers.ts'
import { Replicas } from './replicas.ts'
import type { RunRecord } from './run-record.ts'

/** Workers of a group beside each other: do they hold the same bits, is one of them slow, what part of the batch does each compute? */
export class Comparison {
  readonly #record: RunRecord
  readonly #membership: () => Membership
  readonly #apply: (event: MembershipEvent) => void
  readonly #replicas = new Replicas()
  /** By stage of a pipeline: only those that compute the same compare. */
  readonly #stragglers: readonly Stragglers[]
  readonly #stages: number
  readonly #links = new SlowLinks()
  readonly #dealer: LaneDealer

  constructor(
    record: RunRecord,
    membership: () => Membership,
    apply: (event: MembershipEvent) => void,
    rule: DealRule | undefined,
    now: number,
  ) {
    this.#record = record
    this.#membership = membership
    this.#apply = apply
    this.#stages = membership().options.stages ?? 1
    this.#stragglers = Array.from({ length: this.#stages }, () => new Stragglers())
    this.#dealer = new LaneDealer(record.run.config, rule)
    if (record.inherited) {
      const { group } = record.inherited
      this.#dealer.inherit(
        group.map(({ workerId }) => workerId),
        group.filter((_, rank) => rank % this.#stages === 0).map(({ lanes }) => lanes),
        now,
      )
    }
    record.metrics.watchSlow(() => [
      ...this.#stragglers.flatMap(({ causes }) => causes),
      ...this.#links.workerIds.map(() => 'network' as const),
    ])
  }

  /** What a group is dealt that forms: lanes of each rank, or of each pipeline; and of each member. */
  formed(
    members: readonly { readonly workerId: string; readonly endpoint: string }[],
    now: number,
  ): { deal: LaneDeal; seats: JournalMember[] } {
    const group = members.map(({ workerId }) => workerId)
    const deal = this.#dealer.formed(group, now)
    for (const [stage, stragglers] of this.#stragglers.entries()) stragglers.formed(this.#alike(group, stage))
    this.#links.formed(group)
    const lanesOf = (workerId: string) => this.#dealer.lanesOf(workerId)
    const seats = members.map(({ workerId, endpoint }) => ({ workerId, endpoint, lanes: lanesOf(workerId) }))
    return { deal, seats }
  }

  #alike(group: readonly string[], stage: number): string[] {
    return group.filter((_, rank) => rank % this.#stages === stage)
  }

  #stageOf(workerId: string): number {
    return Math.max(0, rankIn(this.#membership().group, workerId)) % this.#stages
  }

  steps(
    workerId: string,
    { generation, steps, load }: Extract<ToCoordinator, { kind: 'committed' }>,
    now: number,
  ): void {
    this.#record.goodput.steps(workerId, generation, steps)
    const stragglers = this.#stragglers[this.#stageOf(workerId)]
    if (generation !== this.#membership().generation || !stragglers) return
    if (load) {
      const inputSeconds = steps.reduce((sum, { phaseSeconds }) => sum + (phaseSeconds.input ?? 0), 0) / steps.length
      const { stoppedSeconds, delayedSeconds, gcSeconds } = load
      const ofStep = (seconds: number) => seconds / steps.length
      stragglers.load(
        workerId,
        {
          ...{ stoppedSeconds: ofStep(stoppedSeconds), delayedSeconds: ofStep(delayedSeconds) },
          ...{ gcSeconds: ofStep(gcSeconds), inputSeconds },
        },
        steps.length,
      )
    }
    const share = this.#dealer.shareOf(workerId)
    for (const step of steps) {
      const { lanes, fixed } = partsOf(step)
      const straggler = stragglers.report(workerId, lanes + fixed, lanes / share + fixed)
      if (straggler) this.#record.straggles(straggler)
    }
    if (load?.late) this.#late(workerId, load.late)
    const redeal = this.#dealer.steps(workerId, steps, now)
    if (!redeal) return
    this.#record.dealt(redeal)
    this.#apply({ kind: 'reform', reason: redeal.reason })
  }

  #late(workerId: string, late: readonly { rank: number; seconds: number }[]): void {
    const { group } = this.#membership()
    const named = late.flatMap(({ rank, seconds }) => {
      const other = group[rank]
      return other === undefined ? [] : [{ workerId: other, seconds }]
    })
    const compute = (id: string) => this.#stragglers[this.#stageOf(id)]?.pace(id).computeSeconds ?? null
    const straggler = this.#links.report(workerId, named, compute)
    if (straggler) this.#record.straggles(straggler)
  }

  pace(workerId: string): Pace & { readonly lanes: number } {
    const lanes = this.#dealer.lanesOf(workerId)
    const pace = this.#stragglers[this.#stageOf(workerId)]?.pace(workerId) ?? { computeSeconds: null, slow: null }
    return { ...pace, lanes, slow: pace.slow ?? (this.#links.has(workerId) ? 'network' : null) }
  }

  /** Whoever holds other bits than most is expelled; where nobody can tell who is right, everybody is. */
  hash(workerId: string, message: Extract<ToCoordinator, { kind: 'replicaHash' }>): void {
    const { generation, step, weightsSha256: hash } = message
    const { generation: current, group } = this.#membership()
    if (generation !== current) return
    const stage = this.#stageOf(workerId)
    const divergence = this.#replicas.report({ workerId, generation, step, hash, stage }, this.#alike(group, stage))
    if (!divergence) return
    this.#record.diverged(divergence)
    this.#apply({ kind: 'stored', step: this.#record.checkpoints.step })
    const reason = `its weights at step ${step} are not those of the others`
    for (const id of divergence.workerIds)
      this.#apply({ kind: 'left', workerId: id, loss: 'diverged', certain: true, reason })
  }
}
