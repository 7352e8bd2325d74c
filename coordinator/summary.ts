import type { CommittedStep } from '../shared/protocol/control.ts'
import type { Advice } from './advisor/advisor.ts'
import type { EvaluationRecord } from './evaluation-record.ts'
import type { GoodputFigures } from './goodput/parts.ts'
import type { Incident, WorldSize } from './run-folder.ts'
import type { EpochCoverage } from './schedule/ledger.ts'

/** Told as the run goes on; for progress lines. */
export interface RunObserver {
  group(generation: number, worldSize: number, step: number): void
  committed(step: CommittedStep): void
  checkpoint(step: number): void
  /** `lost`: the worker that was lost. */
  incident(reason: string, lost?: string): void
}

/** summary.json */
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
  /** Of the last group: the lanes of the batch that each worker had. */
  readonly lanes: readonly { readonly workerId: string; readonly lanes: number }[]
  readonly weightsSha256: string | null
  readonly coverage: readonly EpochCoverage[]
  readonly incidents: readonly Incident[]
  readonly finalLosses: Readonly<Record<string, number>>
  /** Of `--evaluate-every`. */
  readonly evaluations: readonly EvaluationRecord[]
  /** Where the time of all workers went. */
  readonly goodput: GoodputFigures
  /** What more or fewer workers would have brought; null: too few steps were seen. */
  readonly advice: Advice | null
  /** Of the first worker. */
  readonly backend: string
  /** All that workers had: where there are several, gradients were rounded in several ways. */
  readonly backends: readonly string[]
  readonly compression: string
  readonly seed: number
}
