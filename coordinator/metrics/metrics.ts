import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import type { EvaluationRecord } from '../evaluation-record.ts'

/** Every metric of the coordinator, in base units. Worker labels are bounded by the run's maximum of workers. */
export class Metrics {
  readonly registry = new Registry()
  readonly #steps = this.#counter('ringleader_steps_total', 'Committed steps')
  readonly #images = this.#counter('ringleader_images_total', 'Real training images that committed steps consumed')
  readonly #skipped = this.#counter(
    'ringleader_steps_skipped_total',
    'Steps that all ranks skipped because the reduced gradient was not finite',
  )
  readonly #allReduceBytes = this.#counter('ringleader_allreduce_sent_bytes_total', 'Gradient bytes that rank 0 sent')
  readonly #allReduceSeconds = this.#counter(
    'ringleader_allreduce_seconds_total',
    'Seconds in which rank 0 waited for all-reduce',
  )
  readonly #stepSeconds = new Histogram({
    name: 'ringleader_step_seconds',
    help: 'Duration of a committed step',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [this.registry],
  })
  readonly #scalars = new Gauge({
    name: 'ringleader_loss',
    help: 'Last value of a loss',
    labelNames: ['name'],
    registers: [this.registry],
  })
  readonly #norms = new Gauge({
    name: 'ringleader_gradient_norm',
    help: 'L2 norm of the last reduced gradient',
    labelNames: ['name'],
    registers: [this.registry],
  })
  readonly #step = this.#gauge('ringleader_step', 'Number of the last committed step')
  readonly #epoch = this.#gauge('ringleader_epoch', 'Epoch of the last committed step')
  readonly #worldSize = this.#gauge('ringleader_world_size_workers', 'Workers in the group')
  readonly #generation = this.#gauge('ringleader_generation', 'Number of the group')
  readonly #imagesPerSecond = this.#gauge(
    'ringleader_images_per_second',
    'Images consumed per second of stepping, since the start',
  )
  readonly #workerStep = new Gauge({
    name: 'ringleader_worker_step',
    help: 'Step that a worker last committed',
    labelNames: ['worker'],
    registers: [this.registry],
  })
  readonly #workerMemory = new Gauge({
    name: 'ringleader_worker_resident_memory_bytes',
    help: 'Resident memory of a worker',
    labelNames: ['worker'],
    registers: [this.registry],
  })
  readonly #workerTensors = new Gauge({
    name: 'ringleader_worker_tensors',
    help: 'Tensors that a worker holds',
    labelNames: ['worker'],
    registers: [this.registry],
  })
  readonly #stale = new Gauge({
    name: 'ringleader_worker_stale_frames',
    help: 'Data frames of another run or generation that a worker dropped',
    labelNames: ['worker'],
    registers: [this.registry],
  })
  readonly #malformedFrames = new Gauge({
    name: 'ringleader_worker_malformed_frames',
    help: 'Frames that a worker could not decode',
    labelNames: ['worker'],
    registers: [this.registry],
  })
  readonly #malformed = this.#counter(
    'ringleader_malformed_messages_total',
    'Control messages that the coordinator could not decode',
  )
  readonly #alarms = new Counter({
    name: 'ringleader_alarms_total',
    help: 'Times that the run could not write what it should',
    labelNames: ['kind'],
    registers: [this.registry],
  })
  readonly #incidents = new Counter({
    name: 'ringleader_incidents_total',
    help: 'Workers that were lost while they were in the group',
    labelNames: ['kind'],
    registers: [this.registry],
  })
  readonly #evaluation = new Gauge({
    name: 'ringleader_evaluation',
    help: 'Figure of the last evaluation; figures compare where the classifier, by its SHA-256, is the same',
    labelNames: ['figure', 'classifier'],
    registers: [this.registry],
  })
  readonly #evaluatedStep = this.#gauge('ringleader_evaluation_step', 'Step of the checkpoint that was evaluated last')
  readonly #served = this.#counter('ringleader_data_served_bytes_total', 'Bytes of data and state served to workers')

  constructor(run: { runId: string; model: string; dataset: string }) {
    collectDefaultMetrics({ register: this.registry })
    // Gauges that are named like counters, which promtool refuses.
    for (const name of ['handles', 'requests', 'resources'])
      this.registry.removeSingleMetric(`nodejs_active_${name}_total`)
    new Gauge({
      name: 'ringleader_run_info',
      help: 'The run; always 1',
      labelNames: ['run_id', 'model', 'dataset'],
      registers: [this.registry],
    }).set({ run_id: run.runId, model: run.model, dataset: run.dataset }, 1)
  }

  committed(step: CommittedStep, imagesPerSecond: number): void {
    this.#steps.inc()
    this.#images.inc(step.images)
    if (step.skipped) this.#skipped.inc()
    this.#allReduceBytes.inc(step.allReduceBytes)
    this.#allReduceSeconds.inc(step.allReduceSeconds)
    this.#stepSeconds.observe(step.seconds)
    for (const [name, value] of Object.entries(step.scalars))
      (name.endsWith('GradientNorm') ? this.#norms : this.#scalars).set({ name }, value)
    this.#step.set(step.step)
    this.#epoch.set(step.epoch)
    this.#imagesPerSecond.set(imagesPerSecond)
  }

  group(generation: number, worldSize: number): void {
    this.#generation.set(generation)
    this.#worldSize.set(worldSize)
  }

  heartbeat(
    worker: string,
    beat: { step: number; residentBytes: number; tensors: number; staleFrames: number; malformedFrames: number },
  ): void {
    this.#workerStep.set({ worker }, beat.step)
    this.#workerMemory.set({ worker }, beat.residentBytes)
    this.#workerTensors.set({ worker }, beat.tensors)
    this.#stale.set({ worker }, beat.staleFrames)
    this.#malformedFrames.set({ worker }, beat.malformedFrames)
  }

  /** Series of a worker that is gone would stand still for ever. */
  gone(worker: string): void {
    for (const gauge of [this.#workerStep, this.#workerMemory, this.#workerTensors, this.#stale, this.#malformedFrames])
      gauge.remove({ worker })
  }

  incident(kind: string): void {
    this.#incidents.inc({ kind })
  }

  alarm(kind: string): void {
    this.#alarms.inc({ kind })
  }

  evaluation({ step, classifier, figures }: EvaluationRecord): void {
    this.#evaluatedStep.set(step)
    for (const [figure, value] of Object.entries(figures)) this.#evaluation.set({ figure, classifier }, value)
  }

  malformed(): void {
    this.#malformed.inc()
  }

  served(bytes: number): void {
    this.#served.inc(bytes)
  }

  #counter(name: string, help: string): Counter {
    return new Counter({ name, help, registers: [this.registry] })
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: [this.registry] })
  }
}
