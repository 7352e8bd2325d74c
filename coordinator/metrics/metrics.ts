import { version } from '../../shared/core/version.ts'
import { MetricRegistry } from '../../shared/metrics/metric-registry.ts'
import { type CommittedStep, protocolVersion } from '../../shared/protocol/control.ts'
import type { Topology } from '../../shared/protocol/topology.ts'
import type { EvaluationRecord } from '../evaluation-record.ts'
import type { GoodputSeconds } from '../goodput/parts.ts'
import type { SlowCause } from '../membership/slow-cause.ts'
import type { Membership } from '../membership/state.ts'
import type { Incident } from '../run-folder.ts'
import { GoodputMetric } from './goodput-metric.ts'
import { GroupMetrics } from './group-metrics.ts'
import { type Beat, type DealtWorker, MemberMetrics } from './member-metrics.ts'
import { OutputMetrics } from './output-metrics.ts'
import { StepMetrics } from './step-metrics.ts'

export interface MeteredRun {
  readonly runId: string
  readonly config: {
    readonly model: string
    readonly dataset: string
    readonly minWorkers: number
    readonly maxWorkers: number
  }
}

/** Every metric of the coordinator, in base units, with bounded labels; docs/metrics.md is made from it. */
export class Metrics {
  readonly registry = new MetricRegistry()
  readonly #steps = new StepMetrics(this.registry)
  readonly #group
  readonly #members = new MemberMetrics(this.registry)
  readonly #outputs
  readonly #goodput = new GoodputMetric(this.registry)

  constructor({ runId, config }: MeteredRun, checkpointStep: () => number = () => 0) {
    const { model, dataset } = config
    this.#group = new GroupMetrics(this.registry, config)
    this.#outputs = new OutputMetrics(this.registry, checkpointStep)
    this.registry.info('ringleader_run_info', 'The run', { run_id: runId, model, dataset })
    this.registry.info('ringleader_build_info', 'The program', {
      ...{ version: version(), node: process.version, protocol: String(protocolVersion) },
    })
    this.registry.watchProcess()
  }

  /** Asked for whenever somebody scrapes. */
  watch(membership: () => Membership): void {
    this.#group.watch(membership)
  }

  watchSlow(causes: () => readonly SlowCause[]): void {
    this.#members.watchSlow(causes)
  }

  /** Asked for those who are in the group now, with their lanes. */
  watchLanes(group: () => readonly DealtWorker[]): void {
    this.#members.watchLanes(group)
  }

  /** Lanes were dealt anew. */
  dealt(): void {
    this.#group.dealt()
  }

  watchGoodput(seconds: () => GoodputSeconds): void {
    this.#goodput.watch(seconds)
  }

  reduces(algorithm: string, topology: Topology): void {
    this.#steps.reduces(algorithm, topology)
  }

  /** `incidentSeconds`: that incidents took since the step before. */
  committed(step: CommittedStep, imagesPerSecond: number, incidentSeconds = 0): void {
    this.#steps.committed(step, imagesPerSecond)
    this.#group.incidentCost(incidentSeconds)
  }

  recomputed(steps: number): void {
    this.#steps.recomputed(steps)
  }

  group(generation: number, worldSize: number): void {
    this.#group.group(generation, worldSize)
  }

  joined(worker: string, about: { host: string; backend: string; threads: number }): void {
    this.#members.joined(worker, about)
  }

  heartbeat(worker: string, beat: Beat): void {
    this.#members.heartbeat(worker, beat)
  }

  gone(worker: string): void {
    this.#members.gone(worker)
  }

  incident(kind: string): void {
    this.#group.incident(kind)
  }

  incidentOver(incident: Incident): void {
    this.#group.incidentOver(incident)
  }

  alarm(kind: string, raised = true): void {
    this.#outputs.alarm(kind, raised)
  }

  /** What a look at the training gave. */
  stability(figures: Readonly<Record<string, number>>): void {
    this.#steps.stability(figures)
  }

  evaluation(record: EvaluationRecord): void {
    this.#outputs.evaluation(record)
  }

  checkpoint(bytes: number): void {
    this.#outputs.checkpoint(bytes)
  }

  malformed(): void {
    this.#outputs.malformed()
  }

  served(bytes: number): void {
    this.#outputs.served(bytes)
  }
}
