import { version } from '../../shared/core/version.ts'
import { BoundedNames, MetricRegistry, stepBuckets } from '../../shared/metrics/metric-registry.ts'
import { type CommittedStep, protocolVersion } from '../../shared/protocol/control.ts'
import { counter } from '../thread-messages.ts'
import { watchDevice } from './device-metrics.ts'

/** How a worker stands, asked for whenever somebody scrapes. */
export interface WorkerView {
  readonly generation: number
  /** −1: it is in no group. */
  readonly rank: number
  readonly step: number
  readonly tensors: number
  /** Commits that the coordinator has not noted yet. */
  readonly unnotedSteps: number
  readonly earlyBytes: number
  readonly connected: boolean
}

/** What a worker measures of itself. Prometheus knows which one it is: the coordinator told it with the address. */
export class WorkerMetrics {
  readonly registry = new MetricRegistry()
  readonly #steps
  readonly #seconds
  readonly #phaseSeconds
  readonly #allReduceSeconds
  readonly #allReduceBytes
  readonly #overlapped
  readonly #phases = new BoundedNames()
  #view: () => WorkerView = () => ({
    ...{ generation: 0, rank: -1, step: 0, tensors: 0, unnotedSteps: 0, earlyBytes: 0, connected: false },
  })

  constructor(counters: Int32Array = new Int32Array(counter.count)) {
    const { registry } = this
    this.#steps = registry.counter('ringleader_rank_steps_total', 'Steps that this worker has committed')
    this.#seconds = registry.histogram('ringleader_rank_step_seconds', 'Duration of a step on this worker', stepBuckets)
    this.#phaseSeconds = registry.histogram(
      'ringleader_rank_step_phase_seconds',
      'Parts of the duration of a step on this worker, one observation a step for each part',
      stepBuckets,
      ['phase'],
    )
    this.#allReduceSeconds = registry.counter(
      'ringleader_rank_allreduce_seconds_total',
      'Seconds in which this worker waited for all-reduce: a rank that waits little is the one that the others wait for',
    )
    this.#allReduceBytes = registry.counter(
      'ringleader_rank_allreduce_sent_bytes_total',
      'Bytes of gradients that this worker sent',
    )
    this.#overlapped = registry.counter(
      'ringleader_rank_allreduce_overlapped_seconds_total',
      'Seconds in which gradients travelled while this worker computed on; 0 where its main thread reduces, which then has no time to spare',
    )
    const told = (name: string, help: string, value: (view: WorkerView) => number) =>
      registry.gauge(name, help, [], (gauge) => gauge.set(value(this.#view())))
    told('ringleader_rank', 'Rank in the group; -1: in none yet', ({ rank }) => rank)
    told('ringleader_rank_generation', 'Number of the group that this worker is in', ({ generation }) => generation)
    told('ringleader_rank_step', 'Step whose state this worker holds', ({ step }) => step)
    told('ringleader_rank_tensors', 'Tensors that this worker holds', ({ tensors }) => tensors)
    told(
      'ringleader_rank_unnoted_steps',
      'Commits that the coordinator has not on its disk yet; a group that has very many of them waits',
      ({ unnotedSteps }) => unnotedSteps,
    )
    told(
      'ringleader_rank_early_bytes',
      'Frames that came before this worker was ready for them; the others are ahead of it',
      ({ earlyBytes }) => earlyBytes,
    )
    told('ringleader_rank_connected', '1 while the coordinator is within reach, else 0', ({ connected }) =>
      connected ? 1 : 0,
    )
    watchDevice(registry, counters)
    registry.info('ringleader_build_info', 'The program', {
      ...{ version: version(), node: process.version, protocol: String(protocolVersion) },
    })
    registry.watchProcess()
  }

  watch(view: () => WorkerView): void {
    this.#view = view
  }

  /** `travelled`: seconds in which gradients of these steps were on their way. */
  committed(steps: readonly CommittedStep[], travelled: number): void {
    const waited = steps.reduce((sum, { allReduceSeconds }) => sum + allReduceSeconds, 0)
    this.#overlapped.inc(Math.max(0, travelled - waited))
    for (const { seconds, phaseSeconds, allReduceSeconds, allReduceBytes } of steps) {
      this.#steps.inc()
      this.#seconds.observe(seconds)
      for (const [phase, part] of Object.entries(phaseSeconds))
        this.#phaseSeconds.observe({ phase: this.#phases.of(phase) }, part)
      this.#allReduceSeconds.inc(allReduceSeconds)
      this.#allReduceBytes.inc(allReduceBytes)
    }
  }
}
