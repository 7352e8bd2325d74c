import type { MetricRegistry } from '../../shared/metrics/metric-registry.ts'
import { type SlowCause, slowCauses } from '../membership/slow-cause.ts'

export interface Beat {
  readonly step: number
  readonly residentBytes: number
  readonly tensors: number
  readonly staleFrames: number
  readonly malformedFrames: number
}

export interface DealtWorker {
  readonly workerId: string
  readonly lanes: number
}

/** What workers say about themselves. Labels are bounded by the run's maximum of workers: those of one that is gone go too. */
export class MemberMetrics {
  readonly #info
  readonly #step
  readonly #memory
  readonly #tensors
  readonly #stale
  readonly #malformed
  /** Labels of the information about a worker, which have to be known to take it away. */
  readonly #known = new Map<
    string,
    { worker: string; host: string; backend: string; device: string; threads: string }
  >()

  #causes: () => readonly SlowCause[] = () => []
  #group: () => readonly DealtWorker[] = () => []

  constructor(registry: MetricRegistry) {
    registry.gauge(
      'ringleader_slow_workers',
      'Workers that compute a step for twice as long as the others, by what makes them slow',
      ['cause'],
      (gauge) => {
        const now = this.#causes()
        for (const cause of slowCauses) gauge.set({ cause }, now.filter((own) => own === cause).length)
      },
    )
    registry.gauge(
      'ringleader_worker_lanes',
      'Lanes of the batch that a worker of the group computes',
      ['worker'],
      (gauge) => {
        gauge.reset()
        for (const { workerId: worker, lanes } of this.#group()) gauge.set({ worker }, lanes)
      },
    )
    this.#info = registry.gauge('ringleader_worker_info', 'A worker that is here, and what it is; always 1', [
      ...(['worker', 'host', 'backend', 'device', 'threads'] as const),
    ])
    const labels = ['worker'] as const
    this.#step = registry.gauge('ringleader_worker_step', 'Step that a worker last committed', labels)
    this.#memory = registry.gauge('ringleader_worker_resident_memory_bytes', 'Resident memory of a worker', labels)
    this.#tensors = registry.gauge('ringleader_worker_tensors', 'Tensors that a worker holds', labels)
    this.#stale = registry.gauge(
      'ringleader_worker_stale_frames',
      'Data frames of another run or generation that a worker has dropped since it started',
      labels,
    )
    this.#malformed = registry.gauge(
      'ringleader_worker_malformed_frames',
      'Frames that a worker could not decode since it started',
      labels,
    )
  }

  watchSlow(causes: () => readonly SlowCause[]): void {
    this.#causes = causes
  }

  watchLanes(group: () => readonly DealtWorker[]): void {
    this.#group = group
  }

  joined(worker: string, about: { host: string; backend: string; threads: number }): void {
    this.gone(worker)
    const [backend = '', device = 'cpu'] = about.backend.split(' on ')
    const labels = { worker, host: about.host, backend, device, threads: String(about.threads) }
    this.#known.set(worker, labels)
    this.#info.set(labels, 1)
  }

  heartbeat(worker: string, beat: Beat): void {
    this.#step.set({ worker }, beat.step)
    this.#memory.set({ worker }, beat.residentBytes)
    this.#tensors.set({ worker }, beat.tensors)
    this.#stale.set({ worker }, beat.staleFrames)
    this.#malformed.set({ worker }, beat.malformedFrames)
  }

  /** Series of a worker that is gone would stand still for ever. */
  gone(worker: string): void {
    for (const gauge of [this.#step, this.#memory, this.#tensors, this.#stale, this.#malformed])
      gauge.remove({ worker })
    const labels = this.#known.get(worker)
    if (labels) this.#info.remove(labels)
    this.#known.delete(worker)
  }
}
