import { type Products, squaredDistances } from './products.ts'
import { type Features, rowsOf } from './statistics.ts'

export interface NearestTraining {
  /** Samples that were compared, and as many real images beside them. */
  readonly samples: number
  /** Median Euclidean distance to the nearest training image, in pixels of 0…1. */
  readonly median: number
  /** The same for real images that were not trained on. */
  readonly realMedian: number
  /** Share of the samples that are nearer to a training image than 99 in 100 of the real images are. Copies have 1. */
  readonly memorised: number
}

/** Training images at once: 4,000 · 784 floats are 12 MiB. */
const trainingRows = 4000

/** Whether samples are copies of training images. All are [rows, pixels] in 0…1. */
export async function nearestTraining(
  products: Products,
  training: Features,
  real: Features,
  fake: Features,
): Promise<NearestTraining> {
  const nearest = async (images: Features) => (await nearestDistances(products, training, images)).sort()
  const [reals, fakes] = [await nearest(real), await nearest(fake)]
  const threshold = quantile(reals, 0.01)
  return {
    samples: fake.rows,
    median: quantile(fakes, 0.5),
    realMedian: quantile(reals, 0.5),
    memorised: fakes.filter((distance) => distance < threshold).length / fakes.length,
  }
}

async function nearestDistances(products: Products, training: Features, images: Features): Promise<Float64Array> {
  const nearest = new Float64Array(images.rows).fill(Number.POSITIVE_INFINITY)
  for (let first = 0; first < training.rows; first += trainingRows) {
    const count = Math.min(trainingRows, training.rows - first)
    const part = rowsOf(
      training,
      Array.from({ length: count }, (_, row) => first + row),
    )
    for await (const { start, rows, values } of squaredDistances(products, images, part))
      for (let row = 0; row < rows; row++) {
        let least = nearest[start + row] ?? 0
        for (let j = 0; j < count; j++) least = Math.min(least, values[row * count + j] ?? 0)
        nearest[start + row] = least
      }
  }
  return nearest.map(Math.sqrt)
}

const quantile = (sorted: Float64Array, share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0
