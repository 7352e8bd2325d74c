import type { Schedule } from '../shared/core/schedule.ts'
import type { CommittedStep, StateIdentity } from '../shared/protocol/control.ts'
import type { Manifest } from './checkpoint/checkpoint-store.ts'
import type { JournalRecord, Snapshot } from './journal/journal-record.ts'
import { Ledger } from './schedule/ledger.ts'

/** What the committed steps add up to, and who committed them. Pure: replaying the same records gives the same tally. */
export class Tally {
  readonly ledger: Ledger
  readonly #schedule: Schedule
  #elapsed = { wallSeconds: 0, steppingSeconds: 0, images: 0 }
  losses: Record<string, number> = {}
  generation = 0
  group: readonly { workerId: string; endpoint: string }[] = []
  started = false
  state: StateIdentity | null = null

  constructor(schedule: Schedule, sampleCount: number, seed: number) {
    this.#schedule = schedule
    this.ledger = new Ledger(schedule, sampleCount, seed)
  }

  /** Wall time of earlier sittings; stepping time and images of all. */
  get elapsed(): Readonly<{ wallSeconds: number; steppingSeconds: number; images: number }> {
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
        this.state = record.state
        return true
      case 'formed':
        this.generation = record.generation
        this.group = record.group
        this.started = false
        this.state = record.state
        return true
      case 'started':
        this.started = true
        return true
      case 'committed':
        return this.#commit(record.generation, record.step)
      case 'rewound':
        this.ledger.resume(record.step, this.finishedEpochs(record.step))
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
      ledger: { step: steps, finishedEpochs: this.finishedEpochs(steps) },
      elapsed: { ...this.#elapsed, wallSeconds },
      losses: this.losses,
    }
  }

  /** Epochs that were complete at a step. */
  finishedEpochs(step: number) {
    const { stepsPerEpoch } = this.#schedule
    return this.ledger.finishedEpochs().filter(({ epoch }) => (epoch + 1) * stepsPerEpoch <= step)
  }

  #commit(generation: number, step: CommittedStep): boolean {
    if (!this.ledger.commit(step)) return false
    this.#elapsed.steppingSeconds += step.seconds
    this.#elapsed.images += step.images
    this.state = { generation, step: step.step }
    if (!step.skipped) this.losses = losses(step.scalars)
    return true
  }
}

function losses(scalars: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(scalars).filter(([name]) => !name.endsWith('GradientNorm')))
}
