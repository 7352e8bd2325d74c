import { BoundedNames, type MetricRegistry, stepBuckets } from '../../shared/metrics/metric-registry.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import type { Topology } from '../../shared/protocol/topology.ts'

/** Scalars of a model that are losses although their names do not say so. */
const losses = new Set(['reconstruction', 'kl', 'penalty'])

/** What committed steps did, as the rank told it that told first. */
export class StepMetrics {
  readonly #steps
  readonly #images
  readonly #skipped
  readonly #again
  readonly #seconds
  readonly #phaseSeconds
  readonly #allReduceBytes
  readonly #allReduceSeconds
  readonly #losses
  readonly #norms
  readonly #stability
  readonly #step
  readonly #epoch
  readonly #imagesPerSecond
  readonly #names = new BoundedNames()
  readonly #phases = new BoundedNames()
  #how = { wire: 'shm', algorithm: 'direct' }

  constructor(registry: MetricRegistry) {
    this.#steps = registry.counter('ringleader_steps_total', 'Committed steps')
    this.#images = registry.counter(
      'ringleader_images_total',
      'Real training images that committed steps consumed; its rate is the throughput',
    )
    this.#skipped = registry.counter(
      'ringleader_steps_skipped_total',
      'Steps that all ranks skipped because the reduced gradient was not finite, or too large',
    )
    this.#again = registry.counter(
      'ringleader_steps_recomputed_total',
      'Steps that were lost and had to be computed again: a roll-back, or no worker held them any more',
    )
    this.#seconds = registry.histogram('ringleader_step_seconds', 'Duration of a committed step', stepBuckets)
    this.#phaseSeconds = registry.histogram(
      'ringleader_step_phase_seconds',
      'Parts of the duration of a committed step, one observation a step for each part',
      stepBuckets,
      ['phase'],
    )
    this.#allReduceBytes = registry.counter(
      'ringleader_allreduce_sent_bytes_total',
      'Bytes of gradients that one rank sent; by the algorithm of the large buckets, and the wire between the ranks',
      ['wire', 'algorithm'],
    )
    this.#allReduceSeconds = registry.counter(
      'ringleader_allreduce_seconds_total',
      'Seconds in which one rank waited for all-reduce; by the algorithm of the large buckets, and the wire between the ranks',
      ['wire', 'algorithm'],
    )
    this.#losses = registry.gauge('ringleader_loss', 'Last value of a loss', ['name'])
    this.#norms = registry.gauge('ringleader_gradient_norm', 'L2 norm of the last reduced gradient', ['name'])
    this.#stability = registry.gauge(
      'ringleader_stability',
      'Last value of any other scalar of a step, by its name in metrics.jsonl, and of a look at the training (docs/stability.md)',
      ['name'],
    )
    this.#step = registry.gauge('ringleader_step', 'Number of the last committed step')
    this.#epoch = registry.gauge('ringleader_epoch', 'Epoch of the last committed step')
    this.#imagesPerSecond = registry.gauge(
      'ringleader_images_per_second',
      'Images consumed per second of stepping, over all sittings of the run',
    )
  }

  /** How the group that steps from now on reduces. */
  reduces(algorithm: string, topology: Topology): void {
    this.#how = { wire: wireOf(topology), algorithm }
  }

  committed(step: CommittedStep, imagesPerSecond: number): void {
    this.#steps.inc()
    this.#images.inc(step.images)
    if (step.skipped) this.#skipped.inc()
    this.#allReduceBytes.inc(this.#how, step.allReduceBytes)
    this.#allReduceSeconds.inc(this.#how, step.allReduceSeconds)
    this.#seconds.observe(step.seconds)
    for (const [phase, seconds] of Object.entries(step.phaseSeconds))
      this.#phaseSeconds.observe({ phase: this.#phases.of(phase) }, seconds)
    for (const [name, value] of Object.entries(step.scalars))
      this.#gaugeOf(name).set({ name: this.#names.of(name) }, value)
    this.#step.set(step.step)
    this.#epoch.set(step.epoch)
    this.#imagesPerSecond.set(imagesPerSecond)
  }

  stability(figures: Readonly<Record<string, number>>): void {
    for (const [name, value] of Object.entries(figures)) this.#stability.set({ name: this.#names.of(name) }, value)
  }

  recomputed(steps: number): void {
    this.#again.inc(steps)
  }

  #gaugeOf(scalar: string) {
    if (scalar.endsWith('GradientNorm')) return this.#norms
    return scalar.endsWith('Loss') || losses.has(scalar) ? this.#losses : this.#stability
  }
}

/** Slowest wire of a group: ranks know of each other's host by its memory alone, so `--wire tcp` is tcp. */
function wireOf({ hosts, hub }: Topology): 'shm' | 'tcp' | 'mixed' {
  const places = new Set(hosts).size
  if (hub || (places === hosts.length && places > 1)) return 'tcp'
  return places > 1 ? 'mixed' : 'shm'
}
