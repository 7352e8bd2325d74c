import { unknownTopology } from '../shared/collective/topology.ts'
import { messageOf } from '../shared/core/errors.ts'
import { makeSchedule, type Schedule } from '../shared/core/schedule.ts'
import { seatsOf } from '../shared/pipeline/ranks.ts'
import type { CommittedStep, StateIdentity } from '../shared/protocol/control.ts'
import type { Topology } from '../shared/protocol/topology.ts'
import { Advisor } from './advisor/advisor.ts'
import type { Seat } from './advisor/layout.ts'
import { Alarms, type RaisedAlarm } from './alarms.ts'
import { Backends } from './backends.ts'
import type { CheckpointMessage } from './checkpoint/checkpoint-intake.ts'
import { type Manifest, stepName } from './checkpoint/checkpoint-store.ts'
import { Checkpoints } from './checkpoint/checkpoints.ts'
import { EvaluationRecords } from './evaluation-record.ts'
import { Goodput } from './goodput/goodput.ts'
import { Incidents } from './incidents.ts'
import type { JournalMember } from './journal/journal-record.ts'
import { NotedTally } from './journal/noted-tally.ts'
import type { Redeal } from './membership/lane-dealer.ts'
import type { Straggler } from './membership/stragglers.ts'
import { Metrics } from './metrics/metrics.ts'
import type { PreparedRun } from './prepare-run.ts'
import type { Divergence } from './replicas.ts'
import { RollBacks } from './roll-backs.ts'
import { algorithmOf } from './run-algorithm.ts'
import type { Incident, WorldSize } from './run-folder.ts'
import type { Ledger } from './schedule/ledger.ts'
import { StabilityRecord } from './stability/stability-record.ts'
import type { RunObserver, Summary } from './summary.ts'
import { Tally } from './tally.ts'

/** Lines of metrics.jsonl are thinned out so that the longest run stays below this number. */
const maxMetricsLines = 100_000

/** What a run has done so far: the ledger, its files and its metrics. No sockets. */
export class RunRecord {
  readonly run: PreparedRun
  readonly schedule: Schedule
  readonly #tally: Tally
  /** What a coordinator after this one takes over. */
  readonly notes: NotedTally
  readonly metrics: Metrics
  readonly #observer: RunObserver
  readonly #started: number
  readonly #logEvery: number
  readonly #worldSizes: WorldSize[]
  readonly #incidents: Incident[]
  readonly #open = new Incidents()
  readonly checkpoints: Checkpoints
  readonly evaluations: EvaluationRecords
  readonly #alarms: Alarms
  readonly #rollBacks: RollBacks
  readonly backends: Backends
  readonly goodput: Goodput
  readonly stability: StabilityRecord
  readonly advisor: Advisor

  constructor(run: PreparedRun, observer: RunObserver, now: number) {
    this.run = run
    this.#observer = observer
    this.backends = new Backends(run)
    this.#started = now
    this.schedule = makeSchedule(run.config, run.dataset.train.count)
    this.#tally = new Tally(this.schedule, run.dataset.train.count, run.config.seed)
    this.metrics = new Metrics(run, () => this.checkpoints.step)
    this.advisor = new Advisor(run)
    this.#logEvery = Math.ceil(this.schedule.totalSteps / maxMetricsLines)
    this.checkpoints = new Checkpoints(run, this.schedule)
    this.#rollBacks = new RollBacks(run, this.checkpoints)
    this.#alarms = new Alarms(run.folder, this.metrics, observer)
    const history = run.folder.history()
    this.#worldSizes = history.worldSizes
    this.#incidents = history.incidents
    this.evaluations = new EvaluationRecords(run.folder, this.metrics, this.#alarms, history.evaluations)
    if (run.takeover) for (const record of run.takeover) this.#tally.apply(record)
    else if (run.checkpoint) this.#tally.resume(run.checkpoint.manifest)
    this.#tally.generation = this.generation
    const group = this.inherited?.group.map(({ workerId }) => workerId)
    this.goodput = new Goodput(now, this.#tally.elapsed.goodput, group, this.generation)
    this.metrics.watchGoodput(() => this.goodput.seconds)
    this.metrics.watchLanes(() => this.#tally.group)
    if (this.inherited) {
      const { generation, group } = this.inherited
      this.metrics.group(generation, group.length)
      this.metrics.reduces(algorithmOf(run.config, this.inherited.topology).name, this.inherited.topology)
      observer.group(generation, group.length, this.ledger.steps)
    }
    run.folder.onTrouble((reason) =>
      this.#alarms.set('files', reason && `a file cannot be written: ${reason}; make room`),
    )
    this.notes = new NotedTally(this.#tally, run.folder.journal, this.checkpoints.step, (trouble) =>
      this.#alarms.set('journal', trouble),
    )
    this.stability = new StabilityRecord(this, this.#tally, this.notes, this.#alarms, this.#rollBacks)
  }

  /** Steps whose commit is on the disk. */
  get notedStep(): number {
    return this.notes.step
  }

  /** Closes its files, as the end of the process does. */
  release(): void {
    this.notes.release()
  }

  sync(): void {
    this.notes.note({ kind: 'goodput', goodput: this.goodput.noted })
    this.notes.sync(this.checkpoints.step)
  }

  get alarms(): RaisedAlarm[] {
    return this.#alarms.raised
  }

  get ledger(): Ledger {
    return this.#tally.ledger
  }

  /** The group of a coordinator that crashed, to be taken over; null where there is none. */
  get inherited(): Pick<Tally, 'generation' | 'group' | 'started' | 'state' | 'topology'> | null {
    return this.run.takeover && this.#tally.group.length > 0 ? this.#tally : null
  }

  /** Number that the last group had; the next one is larger. */
  get generation(): number {
    return this.#worldSizes.reduce((last, entry) => Math.max(last, entry.generation), this.#tally.generation)
  }

  /** On the disk before anybody is told: a coordinator that comes after this one must not use the number again. */
  formed(
    generation: number,
    group: readonly JournalMember[],
    state: StateIdentity,
    reason: string,
    hub: boolean,
  ): void {
    this.notes.note({
      kind: 'formed',
      generation,
      group: group.map(({ workerId, endpoint, lanes }) => ({ workerId, endpoint, lanes })),
      state,
      topology: unknownTopology(group.length, hub),
    })
    this.sync()
    const [{ step }, worldSize] = [state, group.length]
    this.#worldSizes.push({ generation, step, worldSize, reason })
    const dealt = { lanes: group.map(({ lanes }) => lanes), ...seatsOf(group, this.run.config) }
    this.run.folder.event('generation', { generation, step, worldSize, reason, ...dealt })
    this.metrics.group(generation, worldSize)
    this.#observer.group(generation, worldSize, step)
  }

  /** Each rank tells every step; the first word of it counts. */
  committed(generation: number, step: CommittedStep, now: number): void {
    const ended = this.#open.committed(generation, now)
    for (const { incident, reason } of ended) this.#closeIncident(incident, reason)
    if (step.step !== this.ledger.steps + 1) return
    const incidentSeconds = this.#open.stepped(now, step.seconds, ended.length > 0) / 1000
    this.notes.note({ kind: 'committed', generation, step, incidentSeconds })
    this.metrics.committed(step, this.#tally.imagesPerSecond, incidentSeconds)
    if (step.step % this.#logEvery === 0) {
      const { scalars, batches: _, time, ...rest } = step
      this.run.folder.metrics({ time: new Date(time).toISOString(), ...rest, ...scalars })
    }
    if (step.skipped)
      this.run.folder.event('skipped', { step: step.step, reason: 'the reduced gradient is not finite, or too large' })
    this.#observer.committed(step)
    this.advisor.committed(step)
    this.stability.tell()
  }

  /** A checkpoint of bits that are not those of most must not be gone on from. */
  diverged({ step, workerIds, hash }: Divergence): void {
    const { folder } = this.run
    folder.event('diverged', { step, workerIds, weightsSha256: hash })
    if (this.checkpoints.step === step && this.checkpoints.weightsSha256 !== hash) this.checkpoints.goBackTo(step - 1)
  }

  /** False where a checkpoint could not be stored: there is an alarm, and the training goes on. */
  checkpoint(message: CheckpointMessage, bytes: Uint8Array | null, now: number): boolean {
    try {
      const elapsed = { ...this.#tally.elapsed, wallSeconds: this.#wallSeconds(now), goodput: this.goodput.noted }
      const spent = { elapsed, score: this.#tally.score }
      const stored = this.checkpoints.take(message, bytes, spent, (step) => this.#tally.finishedEpochs(step))
      if (stored) this.#stored(stored)
      return true
    } catch (error) {
      this.checkpoints.abandon()
      this.#alarms.set(
        'checkpoint',
        `a checkpoint could not be stored: ${messageOf(error)}; make room, training goes on`,
      )
      return false
    }
  }

  #stored({ step, weightsSha256, elapsed, files }: Manifest): void {
    const { folder } = this.run
    this.#alarms.set('checkpoint', null)
    this.metrics.checkpoint(Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0))
    this.notes.compact(step, elapsed.wallSeconds)
    folder.event('checkpoint', { step, folder: `checkpoints/${stepName(step)}`, weightsSha256 })
    this.#observer.checkpoint(step)
  }

  lost(...incident: Parameters<Incidents['lost']>): void {
    this.#open.lost(...incident)
    const [{ kind, workerId, reason }, { step }] = incident
    this.metrics.incident(kind)
    this.run.folder.event('lost', { workerId, cause: kind, step, reason })
    this.#observer.incident(`${workerId} is lost: ${reason}`, workerId)
  }

  /** A worker takes much longer than the others, or does so no more. */
  straggles({ workerId, ratio, cause, slow }: Straggler): void {
    const { steps } = this.ledger
    this.run.folder.event(slow ? 'slow' : 'slow-over', { workerId, step: steps, ratio, cause })
    if (slow)
      this.#observer.incident(`${workerId} is slow: a step takes it ${ratio} times as long as the others (${cause})`)
  }

  /** Some workers get more of the batch, others less. */
  dealt({ deal, gain, reason }: Redeal): void {
    const lanes = this.#tally.group.map(({ workerId, lanes }, rank) => ({ workerId, from: lanes, to: deal[rank] }))
    this.metrics.dealt()
    this.run.folder.event('dealt', { step: this.ledger.steps, gain, lanes, reason })
    this.#observer.incident(reason)
  }

  /** A worker went by itself, at a step boundary. */
  left(workerId: string, reason: string): void {
    this.run.folder.event('left', { workerId, reason })
  }

  waiting(ready: number, wanted: number, reason: string, now: number): void {
    this.#open.waiting(now)
    this.run.folder.event('paused', { ready, wanted, step: this.ledger.steps, reason })
    this.#observer.incident(`paused at step ${this.ledger.steps}: ${ready} of ${wanted} workers; ${reason}`)
  }

  /** The group steps again. `seats`: of its ranks. */
  started(generation: number, topology: Topology, seats: readonly Seat[], now: number): void {
    this.advisor.started(seats, topology)
    this.notes.note({ kind: 'started', generation, topology })
    this.#open.started(now)
    const algorithm = algorithmOf(this.run.config, topology)
    this.metrics.reduces(algorithm.name, topology)
    this.run.folder.event('algorithm', { generation, ...algorithm, topology })
  }

  /** Nobody holds the state any more, or it is void: back to a checkpoint. */
  rewound(step: number): void {
    const lost = this.ledger.steps - step
    const reason = this.#rollBacks.ended() ? 'roll-back' : 'no worker held a later state'
    this.notes.note({ kind: 'rewound', step })
    this.metrics.recomputed(lost)
    this.run.folder.event('rewound', { step, lost, reason })
    this.#observer.incident(`goes on from step ${step} (${reason}): ${lost} steps are computed again`)
  }

  #closeIncident(incident: Incident, reason: string): void {
    this.#incidents.push(incident)
    this.metrics.incidentOver(incident)
    this.run.folder.event('incident', { incident, reason })
  }

  finish(status: Summary['status'], reason: string, now: number): Summary {
    this.checkpoints.abandon()
    for (const { incident, reason: why } of this.#open.rest()) this.#closeIncident(incident, why)
    this.goodput.end(now)
    const { runId, config, folder } = this.run
    const summary: Summary = {
      runId,
      ...{ model: config.model, dataset: config.dataset, status, reason },
      steps: this.ledger.steps,
      epochs: this.ledger.steps / this.schedule.stepsPerEpoch,
      ...{ wallSeconds: this.#wallSeconds(now), imagesPerSecond: this.#tally.imagesPerSecond },
      worldSizes: this.#worldSizes,
      lanes: this.#tally.group.map(({ workerId, lanes }) => ({ workerId, lanes })),
      weightsSha256: this.checkpoints.weightsSha256,
      coverage: this.ledger.coverage(),
      incidents: this.#incidents,
      finalLosses: this.#tally.losses,
      evaluations: this.evaluations.all,
      goodput: this.goodput.figures,
      advice: this.advisor.advice(this.schedule.totalSteps - this.ledger.steps),
      ...this.backends.told,
      ...{ compression: config.compression, seed: config.seed },
    }
    folder.summary(summary)
    folder.event('end', { status, reason, step: this.ledger.steps })
    this.notes.remove()
    return summary
  }

  #wallSeconds(now: number): number {
    return this.#tally.elapsed.wallSeconds + (now - this.#started) / 1000
  }
}
