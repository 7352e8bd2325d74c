import { permutation } from '../../shared/core/random.ts'
import { classMetrics, histogramDivergence } from './class-metrics.ts'
import type { Classifier } from './classifier.ts'
import { frechetDistance } from './frechet-distance.ts'
import { kernelDistance } from './kernel-distance.ts'
import { type NearestTraining, nearestTraining } from './nearest-training.ts'
import { type NeighbourMetrics, neighbourMetrics } from './neighbours.ts'
import type { Products } from './products.ts'
import { type Features, momentsOf, rowsOf } from './statistics.ts'

/** Figures of generated images beside real ones; what they mean and what real images have: docs/evaluation.md. */
export interface SampleMetrics extends NeighbourMetrics {
  readonly samples: number
  /** Test images that they were compared with. */
  readonly realSamples: number
  readonly fid: number
  /** FID by the trace of the real features' covariance, which does not depend on the classifier's scale. */
  readonly fidRelative: number
  /** Of features by the root mean square of the real ones, for the same reason. */
  readonly kid: number
  readonly kidDeviation: number
  readonly inceptionScore: number
  readonly realInceptionScore: number
  readonly modes: number
  readonly histogram: readonly number[]
  /** KL divergence of the histogram from that of the training labels, nats. */
  readonly classKl: number
  readonly nearest: NearestTraining
}

export interface Reality {
  readonly training: Features
  /** Images to expect of so many classes, by class. */
  expected(classes: number): readonly number[]
  readonly test: Features
}

/** Neighbours whose distance is the radius of a ball (Naeem et al. 2020, section 5). */
const neighbours = 5
/** Samples that the whole training set is searched for. */
const nearestSamples = 1000

/** All images are [rows, pixels] in 0…1. As many of the test images as there are samples, spread over all of them. */
export async function sampleMetrics(
  products: Products,
  classifier: Classifier,
  { training, expected, test }: Reality,
  images: Features,
  seed: number,
): Promise<SampleMetrics> {
  const reals = rowsOf(test, spread(test.rows, Math.min(images.rows, test.rows)))
  const [real, fake] = [await classifier.classify(reals), await classifier.classify(images)]
  const [realMoments, fakeMoments] = [momentsOf(real.features), momentsOf(fake.features)]
  const fid = frechetDistance(realMoments, fakeMoments)
  const scale = 1 / rootMeanSquare(real.features)
  const kid = await kernelDistance(products, scaled(real.features, scale), scaled(fake.features, scale), seed)
  const { score, histogram, modes } = classMetrics(fake.probabilities)
  const some = (from: Features) => rowsOf(from, permutation(seed, 0, from.rows).subarray(0, nearestSamples))
  return {
    samples: images.rows,
    realSamples: reals.rows,
    fid,
    fidRelative: fid / realMoments.covariance.trace(),
    kid: kid.mean,
    kidDeviation: kid.deviation,
    inceptionScore: score,
    realInceptionScore: classMetrics(real.probabilities).score,
    ...(await neighbourMetrics(products, real.features, fake.features, neighbours)),
    modes,
    histogram,
    classKl: histogramDivergence(histogram, expected(histogram.length)),
    nearest: await nearestTraining(products, training, some(test), some(images)),
  }
}

function rootMeanSquare({ values }: Features): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length)
}

function scaled(features: Features, factor: number): Features {
  return { ...features, values: features.values.map((value) => value * factor) }
}

function spread(rows: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => Math.floor((index * rows) / count))
}
