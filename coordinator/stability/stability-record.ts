import type { Alarms } from '../alarms.ts'
import type { Checkpoints } from '../checkpoint/checkpoints.ts'
import type { NotedTally } from '../journal/noted-tally.ts'
import type { MembershipEvent } from '../membership/events.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { PreparedRun } from '../prepare-run.ts'
import type { RollBacks } from '../roll-backs.ts'
import type { Tally } from '../tally.ts'
import { illnessNames } from './illnesses.ts'
import { Interventions } from './interventions.ts'

/** What the tally knows of the training's stability, to events and metrics, and what follows from it. */
export class StabilityRecord {
  readonly #run: PreparedRun
  readonly #metrics: Metrics
  readonly #tally: Tally
  readonly #notes: NotedTally
  readonly #alarms: Alarms
  readonly #rollBacks: RollBacks
  readonly #interventions: Interventions

  constructor(
    { run, metrics, checkpoints }: { run: PreparedRun; metrics: Metrics; checkpoints: Checkpoints },
    tally: Tally,
    notes: NotedTally,
    alarms: Alarms,
    rollBacks: RollBacks,
  ) {
    this.#run = run
    this.#metrics = metrics
    this.#tally = tally
    this.#notes = notes
    this.#alarms = alarms
    this.#rollBacks = rollBacks
    this.#interventions = new Interventions(run, tally, checkpoints, rollBacks, (intervention) => {
      notes.note({ kind: 'intervened', intervention })
      notes.sync(checkpoints.step)
      this.tell()
    })
    for (const { illness, reason } of tally.stability.alarms) alarms.inherit(illness, reason)
  }

  /** The tally has learnt something: alarms that are raised, and those that are over. */
  tell(): void {
    const { alarms } = this.#tally.stability
    for (const illness of illnessNames) {
      const alarm = alarms.find((raised) => raised.illness === illness)
      this.#alarms.set(illness, alarm?.reason ?? null, { step: this.#tally.ledger.steps, since: alarm?.since })
    }
  }

  /** A look at what the model makes. */
  inspected({ step, figures: looked }: { step: number; figures: Record<string, number> }): void {
    this.#notes.note({ kind: 'inspected', step, figures: looked })
    const figures = { ...looked, ...this.#tally.stability.figures() }
    this.#run.folder.event('stability', { step, ...figures })
    this.#metrics.stability(figures)
    this.tell()
  }

  /** What too many skipped steps in a row, or an alarm, lead to; null: nothing. Errors: `diverged`, after too many roll-backs. */
  due(): MembershipEvent | null {
    const back = this.#rollBacks.due(this.#tally.ledger.steps, this.#tally.skips)
    return back ? { kind: 'rollBack', ...back } : this.#interventions.due()
  }
}
