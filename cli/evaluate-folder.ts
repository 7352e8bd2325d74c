import { readCheckpoint } from '../coordinator/checkpoint/checkpoint-store.ts'
import { openDataset } from '../shared/dataset/open-dataset.ts'
import { type Evaluation, type EvaluationRequest, evaluateCheckpoint } from '../worker/evaluate/evaluate-checkpoint.ts'

export interface FolderRequest extends Omit<EvaluationRequest, 'config' | 'weights' | 'dataset'> {
  /** Folder of a checkpoint. */
  readonly checkpoint: string
  /** Name of the real images; null: what the run trained on. */
  readonly dataset: string | null
  /** Where their IDX files are. */
  readonly dataDir: string | null
}

export interface EvaluatedCheckpoint extends Evaluation {
  readonly checkpoint: string
  readonly model: string
  readonly step: number
  readonly dataset: string
  readonly seed: number
  readonly seconds: number
}

/** Evaluates a checkpoint on the disk. Errors say what to write instead. */
export async function evaluateFolder(request: FolderRequest): Promise<EvaluatedCheckpoint> {
  const { checkpoint, dataDir, ...rest } = request
  const began = performance.now()
  const { manifest, weights } = readCheckpoint(checkpoint)
  const { config, step } = manifest
  const dataset = openDataset(request.dataset ?? config.dataset, dataDir ?? undefined, config)
  const evaluation = await evaluateCheckpoint({ ...rest, config, weights, dataset })
  return {
    ...{ checkpoint, model: config.model, step, dataset: dataset.name, seed: request.seed },
    seconds: (performance.now() - began) / 1000,
    ...evaluation,
  }
}
