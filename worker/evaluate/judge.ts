import { readFileSync } from 'node:fs'
import { messageOf, usage } from '../../shared/core/errors.ts'
import type { ImageDataset } from '../../shared/dataset/image-dataset.ts'
import type { NetworkSpec } from '../../shared/model/layers.ts'
import type { Backend } from '../backend/backend.ts'
import { channelAccuracy, channelClassifier, classCounts } from './channel-classifier.ts'
import { accuracyOf, classifierNetwork, openClassifier, ownClassifier } from './classifier.ts'
import { productsOn } from './products.ts'
import { type SampleMetrics, sampleMetrics } from './sample-metrics.ts'
import { imagesOf } from './statistics.ts'

/** Looks at images through a classifier, beside those of a data set. */
export interface Judge {
  /** What the figures are measured with: they compare only where its SHA-256 is the same. */
  readonly classifier: { readonly sha256: string; readonly testAccuracy: number }
  /** At images [rows, pixels] in 0…1. */
  look(images: Float32Array, rows: number, seed: number): Promise<SampleMetrics>
  dispose(): void
}

interface Measuring {
  readonly network: NetworkSpec
  /** Its weights.safetensors. */
  readonly weights: Uint8Array
}

/** The classifier in a file, or the program's own, for the images of a data set. */
export function judgeOf(dataset: ImageDataset, file: string | null): Measuring {
  const path = file ?? ownClassifier
  const network = classifierNetwork(dataset.test.channelLabels ? { ...dataset, channels: 1 } : dataset)
  try {
    return { network, weights: readFileSync(path) }
  } catch (error) {
    throw usage(`--classifier ${String(path)}: ${messageOf(error)}`)
  }
}

export async function openJudge(
  backend: Backend,
  dataset: ImageDataset,
  { network, weights }: Measuring,
): Promise<Judge> {
  const { channelLabels, labels } = dataset.test
  const single = openClassifier(backend, network, weights)
  const classifier = channelLabels ? channelClassifier(single, dataset.channels) : single
  const test = imagesOf(dataset.test)
  const testAccuracy = channelLabels
    ? await channelAccuracy(single, test, channelLabels)
    : accuracyOf((await classifier.classify(test)).probabilities, labels)
  const expected = (classes: number) => classCounts(dataset.train, classes)
  const reality = { training: imagesOf(dataset.train), expected, test }
  return {
    classifier: { sha256: classifier.sha256, testAccuracy },
    look: (values, rows, seed) =>
      sampleMetrics(productsOn(backend), classifier, reality, { values, rows, columns: test.columns }, seed),
    dispose: () => classifier.dispose(),
  }
}
