import { BoundedNames, type MetricRegistry } from '../../shared/metrics/metric-registry.ts'
import type { EvaluationRecord } from '../evaluation-record.ts'
import { illnessNames } from '../stability/illnesses.ts'

const alarmKinds = ['files', 'journal', 'checkpoint', 'evaluation', ...illnessNames]

/** What the run leaves behind, how good it is, and what somebody should see to. */
export class OutputMetrics {
  readonly #checkpoints
  readonly #checkpointTime
  readonly #checkpointBytes
  readonly #served
  readonly #malformed
  readonly #alarm
  readonly #alarms
  readonly #alarmKinds = new BoundedNames()
  readonly #figures
  readonly #evaluatedStep
  readonly #figureNames = new BoundedNames()
  #classifier: string | null = null

  /** `checkpointStep`: asked whenever somebody scrapes. */
  constructor(registry: MetricRegistry, checkpointStep: () => number) {
    this.#checkpoints = registry.counter('ringleader_checkpoints_total', 'Checkpoints that were stored')
    registry.gauge('ringleader_checkpoint_step', 'Step of the newest checkpoint; 0: there is none', [], (gauge) =>
      gauge.set(checkpointStep()),
    )
    this.#checkpointTime = registry.gauge(
      'ringleader_checkpoint_timestamp_seconds',
      'When the newest checkpoint was stored, in seconds since 1970; before the first one, when the coordinator started',
    )
    this.#checkpointTime.setToCurrentTime()
    this.#checkpointBytes = registry.gauge('ringleader_checkpoint_size_bytes', 'Size of the newest checkpoint')
    this.#served = registry.counter('ringleader_data_served_bytes_total', 'Bytes of data and state served to workers')
    this.#malformed = registry.counter(
      'ringleader_malformed_messages_total',
      'Control messages that the coordinator could not decode',
    )
    this.#alarm = registry.gauge('ringleader_alarm', '1 while an alarm is raised, 0 when it is over', ['kind'])
    this.#alarms = registry.counter('ringleader_alarms_total', 'Times that an alarm was raised', ['kind'])
    for (const kind of alarmKinds) {
      this.#alarm.set({ kind }, 0)
      this.#alarms.inc({ kind: this.#alarmKinds.of(kind) }, 0)
    }
    this.#figures = registry.gauge(
      'ringleader_evaluation',
      'Figure of the last evaluation; figures compare where the classifier, by its SHA-256, is the same',
      ['figure', 'classifier'],
    )
    this.#evaluatedStep = registry.gauge(
      'ringleader_evaluation_step',
      'Step of the checkpoint that was evaluated last; 0: none was',
    )
  }

  checkpoint(bytes: number): void {
    this.#checkpoints.inc()
    this.#checkpointTime.setToCurrentTime()
    this.#checkpointBytes.set(bytes)
  }

  served(bytes: number): void {
    this.#served.inc(bytes)
  }

  malformed(): void {
    this.#malformed.inc()
  }

  alarm(kind: string, raised: boolean): void {
    const name = this.#alarmKinds.of(kind)
    this.#alarm.set({ kind: name }, raised ? 1 : 0)
    this.#alarms.inc({ kind: name }, raised ? 1 : 0)
  }

  evaluation({ step, classifier, figures }: EvaluationRecord): void {
    if (this.#classifier !== classifier) this.#figures.reset()
    this.#classifier = classifier
    this.#evaluatedStep.set(step)
    for (const [name, value] of Object.entries(figures))
      this.#figures.set({ figure: this.#figureNames.of(name), classifier }, value)
  }
}
