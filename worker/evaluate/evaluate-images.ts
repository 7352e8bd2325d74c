import { openBackend } from '../backend/open-backend.ts'
import type { Evaluation, EvaluationRequest } from './evaluate-checkpoint.ts'
import { judgeOf, openJudge } from './judge.ts'

export interface ImagesRequest
  extends Pick<EvaluationRequest, 'dataset' | 'classifier' | 'seed' | 'backend' | 'device' | 'threads'> {
  /** [rows, pixels] in 0…1, of the data set's shape. */
  readonly images: Float32Array
  readonly rows: number
}

/** How good images are that any program has made. */
export async function evaluateImages(request: ImagesRequest): Promise<Evaluation> {
  const { dataset, images, rows, seed } = request
  const measuring = judgeOf(dataset, request.classifier)
  const backend = await openBackend(request.backend, request.threads, request.device)
  const judge = await openJudge(backend, dataset, measuring)
  try {
    return { classifier: judge.classifier, samples: await judge.look(images, rows, seed), likelihood: null }
  } finally {
    judge.dispose()
  }
}
