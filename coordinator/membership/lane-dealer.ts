import type { RunConfig } from '../../shared/core/config.ts'
import { lowerQuantile } from '../../shared/core/lower-quantile.ts'
import { evenDeal, type LaneDeal } from '../../shared/core/schedule.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import { bestDeal, type LanePace, slowestSeconds } from './best-deal.ts'

export interface DealRule {
  /** Steps of every rank whose medians count as one look. */
  readonly windowSteps: number
  /** Looks in a row that have to say the same. */
  readonly looks: number
  /** Part of a step that has to be won. */
  readonly leastGain: number
  /** From the start of a group until its lanes may be dealt anew; forming it again costs some tenths of a second. */
  readonly waitMs: number
  /** Each deal that brings less than half of what was forecast doubles the wait, up to this. */
  readonly mostWaitMs: number
}

export const usualDealRule: DealRule = {
  ...{ windowSteps: 50, looks: 2, leastGain: 0.1, waitMs: 10_000, mostWaitMs: 600_000 },
}

export interface Redeal {
  readonly deal: LaneDeal
  /** Part of a step that it is to save. */
  readonly gain: number
  readonly reason: string
}

/** Of a rank's steps, the last ones: seconds for its lanes, the others outside of collectives, and those within. */
interface Window {
  readonly own: number[]
  readonly fixed: number[]
  readonly reduce: number[]
}

/** Of the last deal, until it has been seen what it brings. */
interface Promised {
  readonly gain: number
  /** As they were before: the step, the deal, and what each rank took for its lanes. */
  readonly stepSeconds: number
  readonly deal: LaneDeal
  readonly own: readonly number[]
}

/** Of a worker's overhead, from one look to the next: what was measured once, maybe while its speed changed too, counts half after 700 looks. */
const remembered = 0.999

/** Phases of a step that take as long as the rank has lanes. */
const ofLanes = ['prepare', 'input', 'forward', 'backward']

/** Seconds of a step that go with the lanes, and the others outside of collectives. */
export function partsOf({ seconds, allReduceSeconds, phaseSeconds }: CommittedStep): { lanes: number; fixed: number } {
  const lanes = ofLanes.reduce((sum, phase) => sum + (phaseSeconds[phase] ?? 0), 0)
  return { lanes, fixed: Math.max(0, seconds - allReduceSeconds - lanes) }
}

/**
 * Deals the lanes of the batch to the ranks by how fast they compute, and anew where that is clearly better (docs/adr/0031). All ranks
 * hear of a deal when their group forms. Pure.
 */
export class LaneDealer {
  readonly #lanes: number
  readonly #bySpeed: boolean
  readonly #stages: number
  readonly #rule: DealRule
  #group: readonly string[] = []
  #ranks: ReadonlyMap<string, number> = new Map()
  #deal: LaneDeal = []
  readonly #windows = new Map<string, Window>()
  /** Ranks whose window is not full. */
  readonly #missing = new Set<string>()
  /** As of the last look at those who are here. */
  readonly #paces = new Map<string, LanePace>()
  /** Part of what the lanes of a worker take that fewer lanes would not shorten, as its last deal has shown. */
  readonly #overheads = new Map<string, number>()
  #looks = 0
  #formedAt = 0
  #waitMs: number
  /** Decided on: the group forms again with it. */
  #pending: Redeal | null = null
  #promised: Promised | null = null

  constructor(config: Pick<RunConfig, 'lanes' | 'deal' | 'pipelineStages'>, rule = usualDealRule) {
    this.#lanes = config.lanes
    this.#bySpeed = config.deal === 'speed'
    this.#stages = config.pipelineStages
    this.#rule = rule
    this.#waitMs = rule.waitMs
  }

  /** Lanes of each rank of the group, or of each pipeline. */
  get deal(): LaneDeal {
    return this.#deal
  }

  /** Of a worker; 0: it is in no group. */
  lanesOf(workerId: string): number {
    const rank = this.#ranks.get(workerId) ?? -1
    return this.#deal[Math.floor(rank / this.#stages)] ?? 0
  }

  /** What a worker has, in parts of what it would have of an even deal. */
  shareOf(workerId: string): number {
    return (this.lanesOf(workerId) * this.#deal.length) / this.#lanes || 1
  }

  /** A group that steps already, with the lanes that it was dealt. */
  inherit(group: readonly string[], deal: LaneDeal, now: number): void {
    const whole = deal.length * this.#stages === group.length && deal.reduce((sum, own) => sum + own, 0) === this.#lanes
    this.#begin(group, whole ? deal : this.#even(group), now)
  }

  /** A group forms: what it is dealt. The same group keeps what it has, unless a better deal was decided on. */
  formed(group: readonly string[], now: number): LaneDeal {
    const same = group.length === this.#group.length && group.every((id, rank) => id === this.#group[rank])
    const deal = same ? (this.#pending?.deal ?? this.#deal) : this.#bySpeed ? this.#known(group) : this.#even(group)
    if (!same) this.#promised = null
    this.#begin(group, deal, now)
    return deal
  }

  /** Steps that a worker has committed in this group; a deal that is to be made now, or null. */
  steps(workerId: string, steps: readonly CommittedStep[], now: number): Redeal | null {
    const window = this.#windows.get(workerId)
    if (!this.#bySpeed || !window || this.#pending) return null
    const { windowSteps } = this.#rule
    for (const step of steps) {
      const own = partsOf(step)
      for (const [values, value] of [
        [window.own, own.lanes],
        [window.fixed, own.fixed],
        [window.reduce, step.allReduceSeconds],
      ] as const) {
        values.push(value)
        if (values.length > windowSteps) values.shift()
      }
    }
    if (window.own.length < windowSteps) return null
    this.#missing.delete(workerId)
    return this.#missing.size === 0 ? this.#look(now) : null
  }

  #begin(group: readonly string[], deal: LaneDeal, now: number): void {
    this.#group = group
    this.#ranks = new Map(group.map((workerId, rank) => [workerId, rank]))
    this.#deal = deal
    this.#formedAt = now
    this.#pending = null
    this.#looks = 0
    for (const known of [this.#paces, this.#overheads])
      for (const workerId of known.keys()) if (!this.#ranks.has(workerId)) known.delete(workerId)
    this.#empty()
  }

  #empty(): void {
    this.#windows.clear()
    this.#missing.clear()
    if (!this.#bySpeed || this.#group.length < 2) return
    for (const workerId of this.#group) {
      this.#windows.set(workerId, { own: [], fixed: [], reduce: [] })
      this.#missing.add(workerId)
    }
  }

  #even(group: readonly string[]): LaneDeal {
    return evenDeal(group.length / this.#stages, this.#lanes)
  }

  /** By the paces that are known; one that is not known is taken to be as fast as the others are on average. */
  #known(group: readonly string[]): LaneDeal {
    const even = this.#even(group)
    const known = group.flatMap((workerId) => this.#paces.get(workerId) ?? [])
    if (known.length === 0 || group.length < 2) return even
    const mean = (figure: keyof LanePace) => known.reduce((sum, pace) => sum + pace[figure], 0) / known.length
    const usual = { laneSeconds: mean('laneSeconds'), fixedSeconds: mean('fixedSeconds') }
    const paces = group.map((workerId) => this.#paces.get(workerId) ?? usual)
    const deal = bestDeal(paces, this.#lanes)
    return gainOf(even, deal, paces, 0) >= this.#rule.leastGain ? deal : even
  }

  #look(now: number): Redeal | null {
    const medians = (figure: keyof Window) =>
      this.#group.map((workerId) => lowerQuantile(this.#windows.get(workerId)?.[figure] ?? [], 0.5))
    const [own, fixed, reduce] = [medians('own'), medians('fixed'), medians('reduce')]
    this.#empty()
    const reduceSeconds = Math.min(...reduce) // whoever comes last waits for nobody
    const stepSeconds = Math.max(...own.map((seconds, rank) => seconds + (fixed[rank] ?? 0))) + reduceSeconds
    this.#judge(stepSeconds, own)
    const paces = this.#group.map((workerId, rank) => this.#pace(workerId, own[rank] ?? 0, fixed[rank] ?? 0))
    for (const [rank, workerId] of this.#group.entries()) this.#paces.set(workerId, paces[rank] as LanePace)
    const deal = bestDeal(paces, this.#lanes)
    const gain = gainOf(this.#deal, deal, paces, reduceSeconds)
    this.#looks = gain >= this.#rule.leastGain ? this.#looks + 1 : 0
    if (this.#looks < this.#rule.looks || now - this.#formedAt < this.#waitMs) return null
    this.#promised = { gain, stepSeconds, deal: this.#deal, own }
    this.#pending = { deal, gain, reason: reasonOf(this.#group, this.#deal, deal, paces, gain) }
    return this.#pending
  }

  #pace(workerId: string, ownSeconds: number, fixedSeconds: number): LanePace {
    const overhead = (this.#overheads.get(workerId) ?? 0) * ownSeconds
    this.#overheads.set(workerId, (this.#overheads.get(workerId) ?? 0) * remembered)
    return {
      laneSeconds: (ownSeconds - overhead) / this.lanesOf(workerId),
      fixedSeconds: fixedSeconds + overhead,
    }
  }

  /** What the last deal has brought, and what that says about each worker: with t₀ seconds for n₀ lanes, and t₁ for n₁, a lane takes (t₁ − t₀) / (n₁ − n₀). */
  #judge(stepSeconds: number, own: readonly number[]): void {
    if (!this.#promised) return
    const { deal, own: before, gain } = this.#promised
    for (const [rank, workerId] of this.#group.entries()) {
      const [from, to, seconds] = [deal[rank] ?? 0, this.#deal[rank] ?? 0, own[rank] ?? 0]
      if (from === to || !(seconds > 0)) continue
      const laneSeconds = (seconds - (before[rank] ?? 0)) / (to - from)
      this.#overheads.set(workerId, Math.min(1, Math.max(0, 1 - (laneSeconds * to) / seconds)))
    }
    const kept = 1 - stepSeconds / this.#promised.stepSeconds >= gain / 2
    this.#waitMs = kept ? this.#rule.waitMs : Math.min(this.#rule.mostWaitMs, 2 * this.#waitMs)
    this.#promised = null
  }
}

/** Part of a step that another deal saves. */
function gainOf(from: LaneDeal, to: LaneDeal, paces: readonly LanePace[], reduceSeconds: number): number {
  const [before, after] = [slowestSeconds(from, paces), slowestSeconds(to, paces)]
  return before > 0 ? (before - after) / (before + reduceSeconds) : 0
}

/** Those that get more or fewer, a few of them; a thousand workers are told. */
const mostNames = 6

function reasonOf(
  group: readonly string[],
  from: LaneDeal,
  to: LaneDeal,
  paces: readonly LanePace[],
  gain: number,
): string {
  const changed = group.flatMap((workerId, rank) => {
    const [had, gets] = [from[rank] ?? 0, to[rank] ?? 0]
    const ms = Number((1000 * (paces[rank]?.laneSeconds ?? 0)).toPrecision(2))
    return had === gets ? [] : [`${workerId} ${had} → ${gets} (${ms} ms each)`]
  })
  const more = changed.length - mostNames
  const named = changed.slice(0, mostNames).join(', ')
  return `lanes are dealt by speed: ${named}${more > 0 ? ` and ${more} more` : ''}; a step is to take ${Math.round(100 * gain)} % less`
}
