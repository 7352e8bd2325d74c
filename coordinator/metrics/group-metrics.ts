import type { MetricRegistry } from '../../shared/metrics/metric-registry.ts'
import type { Loss, Member } from '../membership/member.ts'
import type { Membership, Phase } from '../membership/state.ts'
import type { Incident } from '../run-folder.ts'

const phases = ['waiting', 'forming', 'running', 'halting', 'ended'] as const satisfies readonly Phase[]
const standings = [
  ...['warming', 'ready', 'joining', 'joined', 'running', 'finished', 'halted'],
] as const satisfies readonly Member['standing'][]
const lossKinds = [
  ...['dead', 'silent', 'stalled', 'left', 'diverged', 'apart'],
] as const satisfies readonly Loss['kind'][]
const incidentBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** Who is in the group, and what was lost. */
export class GroupMetrics {
  readonly #worldSize
  readonly #generation
  readonly #incidents
  readonly #incidentSeconds
  readonly #cost
  readonly #deals
  #membership: () => Membership | null = () => null

  constructor(registry: MetricRegistry, { minWorkers, maxWorkers }: { minWorkers: number; maxWorkers: number }) {
    this.#worldSize = registry.gauge('ringleader_world_size_workers', 'Workers in the group')
    this.#generation = registry.gauge('ringleader_generation', 'Number of the group')
    registry.gauge('ringleader_min_workers', 'Below so many workers the run pauses').set(minWorkers)
    registry.gauge('ringleader_max_workers', 'So many workers may take part').set(maxWorkers)
    registry.gauge('ringleader_members', 'Workers that the coordinator knows, by their state', ['state'], (gauge) => {
      const counts = new Map<string, number>()
      for (const { standing } of this.#membership()?.members.values() ?? [])
        counts.set(standing, (counts.get(standing) ?? 0) + 1)
      for (const state of standings) gauge.set({ state }, counts.get(state) ?? 0)
    })
    registry.gauge('ringleader_phase', '1 for what the group is doing now, 0 for the others', ['phase'], (gauge) => {
      const now = this.#membership()?.phase ?? 'waiting'
      for (const phase of phases) gauge.set({ phase }, phase === now ? 1 : 0)
    })
    this.#incidents = registry.counter(
      'ringleader_incidents_total',
      'Workers that were lost, by how; it stands at the moment of the loss',
      ['kind'],
    )
    this.#incidentSeconds = registry.histogram(
      'ringleader_incident_seconds',
      'Stopwatch of incidents that are over: until the loss was noticed, until the next group started, until its first commit',
      incidentBuckets,
      ['kind', 'phase'],
    )
    this.#cost = registry.counter(
      'ringleader_incident_cost_seconds_total',
      'Seconds between two steps that incidents have taken, without waiting for workers; part of the goodput',
    )
    this.#deals = registry.counter('ringleader_deals_total', 'Times that lanes were dealt anew, by measured speed')
    // A series that begins with its first event hides that event from rate and increase.
    for (const kind of lossKinds) {
      this.#incidents.inc({ kind }, 0)
      for (const phase of ['detect', 'reform', 'firstCommit']) this.#incidentSeconds.zero({ kind, phase })
    }
  }

  watch(membership: () => Membership): void {
    this.#membership = membership
  }

  group(generation: number, worldSize: number): void {
    this.#generation.set(generation)
    this.#worldSize.set(worldSize)
  }

  dealt(): void {
    this.#deals.inc()
  }

  incident(kind: string): void {
    this.#incidents.inc({ kind })
  }

  /** An incident that a commit, or the end of the run, has ended. */
  incidentOver({ kind, detectMs, reformMs, firstCommitMs }: Incident): void {
    const phases = { detect: detectMs, reform: reformMs, firstCommit: firstCommitMs }
    for (const [phase, ms] of Object.entries(phases))
      if (ms !== null) this.#incidentSeconds.observe({ kind, phase }, ms / 1000)
  }

  incidentCost(seconds: number): void {
    this.#cost.inc(seconds)
  }
}
