import { RingleaderError } from '../shared/core/errors.ts'
import { encodeImageGrid } from '../shared/core/image-grid.ts'
import { makeSchedule, type Schedule } from '../shared/core/schedule.ts'
import type { CommittedStep, ToCoordinator } from '../shared/protocol/control.ts'
import {
  CheckpointWriter,
  type Manifest,
  newestCheckpoint,
  removeOldCheckpoints,
  type StoredCheckpoint,
  stepName,
} from './checkpoint/checkpoint-store.ts'
import { Incidents } from './incidents.ts'
import { Metrics } from './metrics/metrics.ts'
import type { PreparedRun } from './prepare-run.ts'
import type { Incident, WorldSize } from './run-folder.ts'
import { Ledger } from './schedule/ledger.ts'

/** Told as the run goes on; for progress lines. */
export interface RunObserver {
  group(generation: number, worldSize: number, step: number): void
  committed(step: CommittedStep): void
  checkpoint(step: number): void
  incident(reason: string): void
}

export interface Summary {
  readonly runId: string
  readonly model: string
  readonly dataset: string
  readonly status: 'completed' | 'interrupted' | 'failed'
  readonly reason: string
  readonly steps: number
  readonly epochs: number
  readonly wallSeconds: number
  readonly imagesPerSecond: number
  readonly worldSizes: readonly WorldSize[]
  readonly weightsSha256: string | null
  readonly coverage: ReturnType<Ledger['coverage']>
  readonly incidents: readonly Incident[]
  readonly finalLosses: Readonly<Record<string, number>>
  readonly backend: string
  readonly seed: number
}

/** Lines of metrics.jsonl are thinned out so that the longest run stays below this number. */
const maxMetricsLines = 100_000

/** What a run has done so far: the ledger, its files and its metrics. No sockets. */
export class RunRecord {
  readonly run: PreparedRun
  readonly schedule: Schedule
  readonly ledger: Ledger
  readonly metrics: Metrics
  readonly #observer: RunObserver
  readonly #started: number
  readonly #elapsed: { wallSeconds: number; steppingSeconds: number; images: number }
  readonly #logEvery: number
  readonly #worldSizes: WorldSize[]
  readonly #incidents: Incident[]
  readonly #open = new Incidents()
  readonly #replicaHashes = new Map<number, { hash: string; workerId: string }>()
  #writer: {
    writer: CheckpointWriter
    about: Pick<Manifest, 'model' | 'weightsSha256' | 'optimizerSteps' | 'elapsed'>
  } | null = null
  #lastLosses: Record<string, number> = {}
  #weightsSha256: string | null = null
  #savedStep: number
  #backend = ''

  constructor(run: PreparedRun, observer: RunObserver, now: number) {
    this.run = run
    this.#observer = observer
    this.#started = now
    this.schedule = makeSchedule(run.config, run.dataset.train.count)
    this.ledger = new Ledger(this.schedule, run.dataset.train.count, run.config.seed)
    this.metrics = new Metrics({ runId: run.runId, model: run.config.model, dataset: run.config.dataset })
    this.#logEvery = Math.ceil(this.schedule.totalSteps / maxMetricsLines)
    this.#savedStep = run.checkpoint?.manifest.step ?? 0
    const history = run.folder.history()
    this.#worldSizes = history.worldSizes
    this.#incidents = history.incidents
    this.#elapsed = { wallSeconds: 0, steppingSeconds: 0, images: 0 }
    if (run.checkpoint) {
      const { manifest } = run.checkpoint
      this.ledger.resume(manifest.step, manifest.ledger.finishedEpochs)
      this.#elapsed = { ...manifest.elapsed }
      this.#weightsSha256 = manifest.weightsSha256
    }
  }

  /** Number that the last group had; the next one is larger. */
  get generation(): number {
    return this.#worldSizes.reduce((last, entry) => Math.max(last, entry.generation), 0)
  }

  /** Step of the newest checkpoint on disk. */
  get savedStep(): number {
    return this.#savedStep
  }

  /** Null, or why a worker of this backend and so many threads would compute other bits than this run's. */
  unlike({ backend, threads }: { backend: string; threads: number }): string | null {
    const { config } = this.run
    if (!config.reproducible) return null
    if (config.backend !== null && backend !== config.backend)
      return `this run is reproducible with ${config.backend}; this worker has ${backend}`
    if (threads === config.threads) return null
    return `this run is reproducible with ${config.threads} threads a worker; write --threads ${config.threads}`
  }

  /** The first worker decides on the backend of a reproducible run. */
  bindBackend(backend: string): void {
    this.#backend ||= backend
    const { config, folder } = this.run
    if (!config.reproducible || config.backend !== null) return
    config.backend = backend
    folder.configure(config)
  }

  formed(generation: number, step: number, worldSize: number, reason: string): void {
    this.#worldSizes.push({ generation, step, worldSize, reason })
    this.run.folder.event('generation', { generation, step, worldSize, reason })
    this.metrics.group(generation, worldSize)
    this.#observer.group(generation, worldSize, step)
  }

  /** Each rank tells every step; the first word of it counts. */
  committed(generation: number, step: CommittedStep, now: number): void {
    for (const { incident, reason } of this.#open.committed(generation, now)) this.#closeIncident(incident, reason)
    if (!this.ledger.commit(step)) return
    this.#elapsed.steppingSeconds += step.seconds
    this.#elapsed.images += step.images
    if (!step.skipped) this.#lastLosses = losses(step.scalars)
    this.metrics.committed(step, this.#imagesPerSecond())
    if (step.step % this.#logEvery === 0) {
      const { scalars, batches: _, ...rest } = step
      this.run.folder.metrics({ time: new Date().toISOString(), ...rest, ...scalars })
    }
    if (step.skipped)
      this.run.folder.event('skipped', { step: step.step, reason: 'the reduced gradient is not finite' })
    this.#observer.committed(step)
  }

  /** `bytes`: float32 images [count, height, width, channels] in 0…1. */
  samples(step: number, bytes: Uint8Array): void {
    const images = new Float32Array(Uint8Array.from(bytes).buffer)
    const { height, width, channels } = this.run.dataset
    this.run.folder.samples(step, encodeImageGrid(images, { height, width, channels }))
  }

  /** Null, or what is wrong: all replicas must hold the same bits at a step. */
  replicaHash(workerId: string, step: number, hash: string): string | null {
    const known = this.#replicaHashes.get(step)
    if (known && known.hash !== hash)
      return `replicas differ at step ${step}: ${known.workerId} has ${known.hash.slice(0, 12)}…, ${workerId} has ${hash.slice(0, 12)}…`
    if (!known) this.#replicaHashes.set(step, { hash, workerId })
    for (const old of this.#replicaHashes.keys()) if (this.#replicaHashes.size > 16) this.#replicaHashes.delete(old)
    return null
  }

  beginCheckpoint(begin: Extract<ToCoordinator, { kind: 'checkpointBegin' }>, now: number): void {
    this.#writer?.writer.abandon()
    const { step, files, model, weightsSha256, optimizerSteps } = begin
    const elapsed = { ...this.#elapsed, wallSeconds: this.#wallSeconds(now) }
    this.#writer = {
      writer: new CheckpointWriter(this.run.folder.checkpoints, step, files),
      about: { model, weightsSha256, optimizerSteps, elapsed },
    }
  }

  writePiece(
    step: number,
    file: 'weights.safetensors' | 'optimizer.safetensors',
    offset: number,
    bytes: Uint8Array,
  ): void {
    if (this.#writer?.writer.step === step) this.#writer.writer.write(file, offset, bytes)
  }

  endCheckpoint(step: number): void {
    if (this.#writer?.writer.step !== step) return
    const { writer, about } = this.#writer
    this.#writer = null
    const { runId, config, dataset, folder } = this.run
    writer.finish({
      formatVersion: 1,
      runId,
      image: { height: dataset.height, width: dataset.width, channels: dataset.channels },
      config,
      step,
      epoch: Math.floor(step / this.schedule.stepsPerEpoch),
      seed: config.seed,
      ledger: {
        finishedEpochs: this.ledger
          .finishedEpochs()
          .filter((epoch) => (epoch.epoch + 1) * this.schedule.stepsPerEpoch <= step),
      },
      ...about,
    })
    this.#savedStep = step
    this.#weightsSha256 = about.weightsSha256
    removeOldCheckpoints(folder.checkpoints)
    folder.event('checkpoint', { step, folder: `checkpoints/${stepName(step)}`, weightsSha256: about.weightsSha256 })
    this.#observer.checkpoint(step)
  }

  abandonCheckpoint(): void {
    this.#writer?.writer.abandon()
    this.#writer = null
  }

  lost(...incident: Parameters<Incidents['lost']>): void {
    this.#open.lost(...incident)
    const [{ kind, workerId, reason }, { step }] = incident
    this.metrics.incident(kind)
    this.run.folder.event('lost', { workerId, cause: kind, step, reason })
    this.#observer.incident(`${workerId} is lost: ${reason}`)
  }

  /** A worker went by itself, at a step boundary. */
  left(workerId: string, reason: string): void {
    this.run.folder.event('left', { workerId, reason })
  }

  waiting(ready: number, wanted: number, reason: string): void {
    this.run.folder.event('paused', { ready, wanted, step: this.ledger.steps, reason })
    this.#observer.incident(`paused at step ${this.ledger.steps}: ${ready} of ${wanted} workers; ${reason}`)
  }

  /** The newest one on disk that is whole. */
  newestCheckpoint(): StoredCheckpoint {
    const { folder, checkpoint } = this.run
    const newest = newestCheckpoint(folder.checkpoints, (reason) => folder.event('alarm', { reason }))
    if (newest) return newest
    if (checkpoint) return checkpoint
    throw new RingleaderError('checkpoint-missing', 'no worker holds the state, and no checkpoint can be read')
  }

  /** The group steps again. */
  started(now: number): void {
    this.#open.started(now)
  }

  /** Nobody held the state any more: back to a checkpoint. */
  rewound(step: number): void {
    const lost = this.ledger.steps - step
    this.ledger.resume(
      step,
      this.ledger.finishedEpochs().filter(({ epoch }) => (epoch + 1) * this.schedule.stepsPerEpoch <= step),
    )
    this.run.folder.event('rewound', { step, lost, reason: 'no worker held a later state' })
    this.#observer.incident(`every worker is lost: goes on from step ${step}, ${lost} steps are computed again`)
  }

  #closeIncident(incident: Incident, reason: string): void {
    this.#incidents.push(incident)
    this.run.folder.event('incident', { incident, reason })
  }

  finish(status: Summary['status'], reason: string, now: number): Summary {
    this.abandonCheckpoint()
    for (const { incident, reason: why } of this.#open.rest()) this.#closeIncident(incident, why)
    const { runId, config, folder } = this.run
    const summary: Summary = {
      runId,
      model: config.model,
      dataset: config.dataset,
      status,
      reason,
      steps: this.ledger.steps,
      epochs: this.ledger.steps / this.schedule.stepsPerEpoch,
      wallSeconds: this.#wallSeconds(now),
      imagesPerSecond: this.#imagesPerSecond(),
      worldSizes: this.#worldSizes,
      weightsSha256: this.#weightsSha256,
      coverage: this.ledger.coverage(),
      incidents: this.#incidents,
      finalLosses: this.#lastLosses,
      backend: this.#backend,
      seed: config.seed,
    }
    folder.summary(summary)
    folder.event('end', { status, reason, step: this.ledger.steps })
    return summary
  }

  #wallSeconds(now: number): number {
    return this.#elapsed.wallSeconds + (now - this.#started) / 1000
  }

  #imagesPerSecond(): number {
    return this.#elapsed.steppingSeconds === 0 ? 0 : this.#elapsed.images / this.#elapsed.steppingSeconds
  }
}

function losses(scalars: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(scalars).filter(([name]) => !name.endsWith('GradientNorm')))
}
