import type { RunConfig } from '../../shared/core/config.ts'
import type { ImageDataset } from '../../shared/dataset/image-dataset.ts'
import { type BackendName, openBackend } from '../backend/open-backend.ts'
import { makeModel } from '../model/make-model.ts'
import { networkOf } from '../model/network-of.ts'
import { restoreCheckpoint } from '../step/checkpoint-files.ts'
import { generateImages } from '../step/images.ts'
import { ModelState } from '../step/model-state.ts'
import { scratchBytesOf } from '../step/state-room.ts'
import { type Judge, judgeOf, openJudge } from './judge.ts'
import { type Likelihood, likelihoodOf, rowsAtOnce } from './likelihood.ts'
import type { SampleMetrics } from './sample-metrics.ts'
import { imagesOf } from './statistics.ts'

export interface EvaluationRequest {
  readonly config: RunConfig
  /** The checkpoint's weights.safetensors. */
  readonly weights: Uint8Array
  readonly dataset: ImageDataset
  /** Images to generate. */
  readonly samples: number
  readonly seed: number
  /** Samples of z for the importance-weighted bound of a VAE. */
  readonly importanceSamples: number
  /** Weights of a trained classifier; null: the program's own. */
  readonly classifier: string | null
  readonly backend: BackendName
  /** As openBackend takes it. */
  readonly device: string | null
  readonly threads: number
}

export interface Evaluation {
  readonly classifier: Judge['classifier']
  /** Null where the model makes no images. */
  readonly samples: SampleMetrics | null
  /** Null but for a VAE. */
  readonly likelihood: Likelihood | null
}

/** How good a checkpoint is. A classifier is measured itself. */
export async function evaluateCheckpoint(request: EvaluationRequest): Promise<Evaluation> {
  const { config, weights, dataset, seed, importanceSamples, samples } = request
  const model = makeModel(config, dataset)
  const { family } = model.spec
  const state = new ModelState(model.spec, scratchBytesOf(model, Math.max(rowsAtOnce, importanceSamples)))
  restoreCheckpoint(state, weights, null, {})
  const own = family === 'classifier' ? { network: networkOf(model.spec, 'classifier'), weights } : null
  const measuring = own ?? judgeOf(dataset, request.classifier)
  const backend = await openBackend(request.backend, request.threads, request.device)
  const judge = await openJudge(backend, dataset, measuring)
  const bound = backend.bind(state.allSlots())
  try {
    const made = model.generate ? await generateImages(model, state, backend, bound, samples, seed) : null
    const held = { images: imagesOf(dataset.test), labels: dataset.test.labels, importanceSamples, seed }
    return {
      classifier: judge.classifier,
      samples: made && (await judge.look(made, samples, seed)),
      likelihood: family === 'vae' ? await likelihoodOf(backend, model.spec, bound.tensors, state, held) : null,
    }
  } finally {
    bound.dispose()
    judge.dispose()
  }
}
