import { unknownTopology } from '../shared/collective/topology.ts'
import { scalarKind } from '../shared/core/scalar-kind.ts'
import type { Schedule } from '../shared/core/schedule.ts'
import type { CommittedStep, StateIdentity } from '../shared/protocol/control.ts'
import type { Topology } from '../shared/protocol/topology.ts'
import type { Manifest } from './checkpoint/checkpoint-store.ts'
import { nothing } from './goodput/parts.ts'
import type { Intervention, JournalMember, JournalRecord, Snapshot } from './journal/journal-record.ts'
import { Ledger } from './schedule/ledger.ts'
import { Stability } from './stability/stability.ts'

/** What the committed steps add up to, and who committed them. Pure: replaying the same records gives the same tally. */
export class Tally {
  readonly ledger: Ledger
  readonly #schedule: Schedule
  #elapsed: Manifest['elapsed'] = { wallSeconds: 0, steppingSeconds: 0, images: 0, goodput: nothing }
  losses: Record<string, number> = {}
  generation = 0
  group: readonly JournalMember[] = []
  started = false
  topology: Topology = unknownTopology(0)
  state: StateIdentity | null = null
  /** Skipped steps in a row, up to the last one. */
  skips = 0
  /** Loss, smoothed; null where it says nothing about quality, as in a GAN. */
  score: number | null = null
  /** Somebody has asked for a pause. */
  held = false
  stability = new Stability()
  /** What was decided and has not been done yet. */
  intervention: Intervention | null = null

  constructor(schedule: Schedule, sampleCount: number, seed: number) {
    this.#schedule = schedule
    this.ledger = new Ledger(schedule, sampleCount, seed)
  }

  /** Wall time of earlier sittings; stepping time and images of all. */
  get elapsed(): Readonly<Manifest['elapsed']> {
    return this.#elapsed
  }

  get imagesPerSecond(): number {
    return this.#elapsed.steppingSeconds === 0 ? 0 : this.#elapsed.images / this.#elapsed.steppingSeconds
  }

  /** Takes up after a checkpoint. */
  resume({ step, ledger, elapsed }: Pick<Manifest, 'step' | 'ledger' | 'elapsed'>): void {
    this.ledger.resume(step, ledger.finishedEpochs)
    this.#elapsed = { ...elapsed }
  }

  /** True where the record says something new. */
  apply(record: JournalRecord): boolean {
    switch (record.kind) {
      case 'snapshot':
        this.resume({ ...record, step: record.ledger.step })
        this.losses = record.losses
        this.generation = record.generation
        this.group = record.group
        this.started = record.started
        this.topology = record.topology
        this.state = record.state
        this.skips = record.skips
        this.score = record.score
        this.held = record.held
        this.stability = new Stability(record.stability)
        this.intervention = record.intervention
        return true
      case 'formed':
        if (this.intervention?.action !== 'stop') this.intervention = null
        this.generation = record.generation
        this.group = record.group
        this.started = false
        this.topology = record.topology
        this.state = record.state
        return true
      case 'started':
        this.started = true
        this.topology = record.topology
        return true
      case 'committed':
        return this.#commit(record.generation, record.step, record.incidentSeconds)
      case 'rewound':
        this.ledger.resume(record.step, this.finishedEpochs(record.step))
        this.skips = 0
        this.score = null
        this.stability.reset()
        return true
      case 'inspected':
        this.stability.inspected(record.step, record.figures, this.#schedule.stepsPerEpoch)
        return true
      case 'intervened':
        this.intervention = record.intervention
        this.stability.reset()
        return true
      case 'held':
        this.held = record.held
        return true
      case 'goodput':
        this.#elapsed.goodput = record.goodput
        return true
      default:
        return record satisfies never
    }
  }

  snapshot(storedStep: number, wallSeconds: number): Snapshot {
    const { steps } = this.ledger
    return {
      kind: 'snapshot',
      ...{ generation: this.generation, group: [...this.group], started: this.started, state: this.state, storedStep },
      topology: this.topology,
      ledger: { step: steps, finishedEpochs: this.finishedEpochs(steps) },
      elapsed: { ...this.#elapsed, wallSeconds },
      losses: this.losses,
      ...{ skips: this.skips, score: this.score, held: this.held },
      ...{ stability: this.stability.state, intervention: this.intervention },
    }
  }

  /** Epochs that were complete at a step. */
  finishedEpochs(step: number) {
    const { stepsPerEpoch } = this.#schedule
    return this.ledger.finishedEpochs().filter(({ epoch }) => (epoch + 1) * stepsPerEpoch <= step)
  }

  #commit(generation: number, step: CommittedStep, incidentSeconds: number): boolean {
    if (!this.ledger.commit(step)) return false
    this.#elapsed.steppingSeconds += step.seconds + incidentSeconds
    this.#elapsed.images += step.images
    this.state = { generation, step: step.step }
    this.skips = step.skipped ? this.skips + 1 : 0
    if (!step.skipped) this.#learned(losses(step.scalars))
    this.stability.committed(step)
    return true
  }

  #learned(values: Record<string, number>): void {
    this.losses = values
    const { vaeLoss } = values
    if (vaeLoss === undefined) return
    this.score = this.score === null ? vaeLoss : this.score + scoreWeight * (vaeLoss - this.score)
  }
}

/** Of a step in the smoothed loss: about the last hundred count. */
const scoreWeight = 0.02

function losses(scalars: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(scalars).filter(([name]) => scalarKind(name) === 'loss'))
}
