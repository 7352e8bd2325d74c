import { writeEvaluation } from '../../coordinator/checkpoint/checkpoint-store.ts'
import type { EvaluationRecord, EvaluationRecords } from '../../coordinator/evaluation-record.ts'
import type { PreparedRun } from '../../coordinator/prepare-run.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import type { EvaluatedCheckpoint, FolderRequest } from '../evaluate-folder.ts'
import { Evaluations } from './evaluations.ts'

/** The seed of all evaluations of all runs, so that they compare. */
const seed = 1
const importanceSamples = 50

/** Evaluates a run's checkpoints as its config says; the figures go to its files and metrics, and to `tell` as a line. */
export function evaluationsOf(
  { config, folder }: PreparedRun,
  totalSteps: number,
  records: () => Pick<EvaluationRecords, 'add' | 'failed'>,
  tell: (line: string) => void,
): Evaluations {
  return new Evaluations({
    ...{ checkpoints: folder.checkpoints, every: config.evaluateEvery, totalSteps },
    request: evaluationRequest(config, folder.dataDir),
    done(evaluated) {
      const record = recordOf(evaluated)
      writeEvaluation(evaluated.checkpoint, evaluated)
      records().add(record)
      const { fid, coverage, negativeElbo, testAccuracy } = record.figures
      const shown = Object.entries({ fid, coverage, negativeElbo, testAccuracy }).flatMap(([name, value]) =>
        value === undefined || (name === 'testAccuracy' && fid !== undefined)
          ? []
          : [`${name} ${value.toPrecision(4)}`],
      )
      tell(`step ${evaluated.step} is evaluated: ${shown.join(', ')}`)
    },
    failed(step, reason) {
      records().failed(step, reason)
      tell(`step ${step} could not be evaluated: ${reason}`)
    },
  })
}

/** What an evaluation of a run is asked for. */
export function evaluationRequest(
  { dataset, evaluateSamples }: RunConfig,
  dataDir: string | null,
): Omit<FolderRequest, 'checkpoint'> {
  const asked = { dataset, dataDir, samples: evaluateSamples, seed, importanceSamples }
  return { ...asked, classifier: null, backend: 'auto', device: null, threads: 1 }
}

/** All figures that are one number. */
export function recordOf({ step, classifier, samples, likelihood }: EvaluatedCheckpoint): EvaluationRecord {
  const all = {
    ...samples,
    ...likelihood,
    memorised: samples?.nearest.memorised,
    testAccuracy: classifier.testAccuracy,
  }
  const figures = Object.entries(all).filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  return { step, classifier: classifier.sha256, figures: Object.fromEntries(figures) }
}
