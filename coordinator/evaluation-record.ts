import { z } from 'zod'
import type { Alarms } from './alarms.ts'
import type { Metrics } from './metrics/metrics.ts'
import type { RunFolder } from './run-folder.ts'

/** What the run keeps of an evaluation; the figures by their names in docs/evaluation.md. */
export const evaluationRecordSchema = z.object({
  step: z.number(),
  /** SHA-256 of the classifier that the figures were measured with. */
  classifier: z.string(),
  figures: z.record(z.string(), z.number()),
})
export type EvaluationRecord = Readonly<z.infer<typeof evaluationRecordSchema>>

/** The evaluations of a run, over all its sittings. */
export class EvaluationRecords {
  readonly all: EvaluationRecord[]
  readonly #folder: RunFolder
  readonly #metrics: Metrics
  readonly #alarms: Alarms

  constructor(folder: RunFolder, metrics: Metrics, alarms: Alarms, earlier: readonly EvaluationRecord[]) {
    this.all = [...earlier]
    this.#folder = folder
    this.#metrics = metrics
    this.#alarms = alarms
    const last = earlier.at(-1)
    if (last) metrics.evaluation(last)
  }

  add(record: EvaluationRecord): void {
    this.all.push(record)
    this.#folder.event('evaluation', record)
    this.#metrics.evaluation(record)
    this.#alarms.set('evaluation', null)
  }

  failed(step: number, reason: string): void {
    this.#alarms.set('evaluation', reason, { step })
  }
}
