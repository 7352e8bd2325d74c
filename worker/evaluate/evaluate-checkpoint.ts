import { readFileSync } from 'node:fs'
import type { RunConfig } from '../../shared/core/config.ts'
import { usage } from '../../shared/core/config.ts'
import { messageOf } from '../../shared/core/errors.ts'
import type { ImageDataset } from '../../shared/dataset/image-dataset.ts'
import { type BackendName, openBackend } from '../backend/open-backend.ts'
import { makeModel } from '../model/make-model.ts'
import { networkOf } from '../model/network-of.ts'
import { restoreCheckpoint } from '../step/checkpoint-files.ts'
import { generateImages } from '../step/images.ts'
import { ModelState } from '../step/model-state.ts'
import { scratchBytesOf } from '../step/state-room.ts'
import { channelAccuracy, channelClassifier, classCounts } from './channel-classifier.ts'
import { accuracyOf, classifierNetwork, openClassifier, ownClassifier } from './classifier.ts'
import { type Likelihood, likelihoodOf, rowsAtOnce } from './likelihood.ts'
import { productsOn } from './products.ts'
import { type SampleMetrics, sampleMetrics } from './sample-metrics.ts'
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
  /** What the figures were measured with: they compare only where its SHA-256 is the same. */
  readonly classifier: { readonly sha256: string; readonly testAccuracy: number }
  /** Null where the model makes no images. */
  readonly samples: SampleMetrics | null
  /** Null but for a VAE. */
  readonly likelihood: Likelihood | null
}

/** How good a checkpoint is. A classifier is measured itself. */
export async function evaluateCheckpoint(request: EvaluationRequest): Promise<Evaluation> {
  const { config, weights, dataset, seed, importanceSamples } = request
  const model = makeModel(config, dataset)
  const { family } = model.spec
  const state = new ModelState(model.spec, scratchBytesOf(model, Math.max(rowsAtOnce, importanceSamples)))
  restoreCheckpoint(state, weights, null, {})
  const own = family === 'classifier'
  const { channelLabels } = dataset.test
  const seen = channelLabels ? { ...dataset, channels: 1 } : dataset
  const network = own ? networkOf(model.spec, 'classifier') : classifierNetwork(seen)
  const classifierWeights = own ? weights : readClassifier(request.classifier ?? ownClassifier)
  const backend = await openBackend(request.backend, request.threads, request.device)
  const single = openClassifier(backend, network, classifierWeights)
  const classifier = channelLabels ? channelClassifier(single, dataset.channels) : single
  const bound = backend.bind(state.allSlots())
  try {
    const test = imagesOf(dataset.test)
    const testAccuracy = channelLabels
      ? await channelAccuracy(single, test, channelLabels)
      : accuracyOf((await classifier.classify(test)).probabilities, dataset.test.labels)
    const values = model.generate
      ? await generateImages(model, state, backend, bound, request.samples, seed)
      : new Float32Array(0)
    const images = { values, rows: request.samples, columns: test.columns }
    const expected = (classes: number) => classCounts(dataset.train, classes)
    const reality = { training: imagesOf(dataset.train), expected, test }
    const held = { images: test, labels: dataset.test.labels, importanceSamples, seed }
    return {
      classifier: { sha256: classifier.sha256, testAccuracy },
      samples: model.generate ? await sampleMetrics(productsOn(backend), classifier, reality, images, seed) : null,
      likelihood: family === 'vae' ? await likelihoodOf(backend, model.spec, bound.tensors, state, held) : null,
    }
  } finally {
    bound.dispose()
    classifier.dispose()
  }
}

function readClassifier(path: string | URL): Uint8Array {
  try {
    return readFileSync(path)
  } catch (error) {
    throw usage(`--classifier ${String(path)}: ${messageOf(error)}`)
  }
}
