import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { openDataset } from '../../shared/dataset/open-dataset.ts'
import { stackedDigits } from '../../shared/dataset/stacked-digits.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { channelAccuracy, channelClassifier, classCounts } from '../../worker/evaluate/channel-classifier.ts'
import { accuracyOf, classifierNetwork, openClassifier, ownClassifier } from '../../worker/evaluate/classifier.ts'
import { productsOn } from '../../worker/evaluate/products.ts'
import { type SampleMetrics, sampleMetrics } from '../../worker/evaluate/sample-metrics.ts'
import { type Features, imagesOf, rowsOf } from '../../worker/evaluate/statistics.ts'

const rows = 1500

/** What images of known quality have by the program's own classifier. Bounds: docs/evaluation.md, with room for fewer samples. */
describe('figures of images that are known', () => {
  const mnist = openDataset('mnist')
  const some = (count: number, from = 0) => Array.from({ length: count }, (_, row) => from + row)
  const [test, all] = [imagesOf(mnist.test), imagesOf(mnist.train)]
  const training = rowsOf(all, some(6000))
  let accuracy: number
  let measure: (images: Features) => Promise<SampleMetrics>

  beforeAll(async () => {
    const backend = await openBackend('auto', 1)
    const classifier = openClassifier(backend, classifierNetwork(mnist), readFileSync(ownClassifier))
    accuracy = accuracyOf((await classifier.classify(test)).probabilities, mnist.test.labels)
    const expected = (classes: number) => classCounts(mnist.train, classes)
    const reality = { training, expected, test }
    measure = (images) => sampleMetrics(productsOn(backend), classifier, reality, images, 1)
  }, 60_000)

  it('the classifier is right in 99 of 100', () => expect(accuracy).toBeGreaterThanOrEqual(0.99))

  it('real images that it has not seen are good in every way, and no copies', async () => {
    const found = await measure(rowsOf(all, some(rows, 10_000)))
    expect(found).toMatchObject({ samples: rows, realSamples: rows, modes: 10 })
    expect(found.fidRelative).toBeLessThan(0.03)
    expect(Math.abs(found.kid)).toBeLessThan(0.02)
    expect(found.inceptionScore / found.realInceptionScore).toBeGreaterThan(0.98)
    expect(found.realInceptionScore).toBeGreaterThan(9.4)
    for (const name of ['precision', 'recall', 'density', 'coverage'] as const)
      expect(found[name], name).toBeGreaterThan(0.85)
    expect(found.classKl).toBeLessThan(0.01)
    expect(found.nearest.memorised).toBeLessThan(0.03)
  })

  it('copies of the training images are as good, and told as copies', async () => {
    const found = await measure(rowsOf(training, some(rows)))
    expect(found.fidRelative).toBeLessThan(0.03)
    expect(found.nearest).toMatchObject({ samples: 1000, memorised: 1 })
  })

  it('noise is told by everything but precision', async () => {
    const values = Float32Array.from(
      { length: rows * test.columns },
      (_, at) => Math.abs(Math.sin(at * 12.9898) * 43758.5453) % 1,
    )
    const found = await measure({ values, rows, columns: test.columns })
    expect(found.fidRelative).toBeGreaterThan(0.5)
    expect(found.kid).toBeGreaterThan(0.5)
    expect(found.recall).toBeLessThan(0.05)
    expect(found.coverage).toBeLessThan(0.05)
  })

  it('one digit alone is a collapse', async () => {
    const ones = [...mnist.train.labels.entries()].flatMap(([id, label]) => (label === 1 ? [id] : [])).slice(0, rows)
    const found = await measure(rowsOf(all, ones))
    expect(found.modes).toBe(1)
    expect(found.precision).toBeGreaterThan(0.8)
    expect(found.recall).toBeLessThan(0.4)
    expect(found.coverage).toBeLessThan(0.4)
    expect(found.inceptionScore).toBeLessThan(1.5)
    expect(found.classKl).toBeGreaterThan(1.5)
  })

  it('of stacked digits there are a thousand classes, of which real images have nearly all, and each digit is told apart', async () => {
    const backend = await openBackend('auto', 1)
    const single = openClassifier(backend, classifierNetwork(mnist), readFileSync(ownClassifier))
    const stacked = stackedDigits(mnist, 1)
    const [reals, training] = [imagesOf(stacked.test), imagesOf(stacked.train)]
    const labels = stacked.test.channelLabels ?? new Uint8Array(0)
    expect(await channelAccuracy(single, reals, labels)).toBeCloseTo(accuracy, 6)
    const reality = {
      training: rowsOf(training, some(200)),
      expected: (classes: number) => classCounts(stacked.train, classes),
      test: rowsOf(reals, some(500)),
    }
    const classifier = channelClassifier(single, 3)
    const figures = (images: Features) => sampleMetrics(productsOn(backend), classifier, reality, images, 1)
    const found = await figures(rowsOf(training, some(6000, 10_000)))
    expect(found.histogram).toHaveLength(1000)
    expect(found.modes).toBeGreaterThan(970) // 6 of each are expected: of a thousand, two or three come to none
    expect(found.classKl).toBeLessThan(0.12) // about (classes - 1) / 2 samples
    const [, green = 0] = labels
    const [one] = [...(await classifier.classify(rowsOf(reals, [0]))).probabilities.values.entries()].toSorted(
      ([, a], [, b]) => b - a,
    )
    expect(Math.floor((one?.[0] ?? 0) / 10) % 10).toBe(green)
    const ones = [...mnist.train.labels.keys()].filter((id) => mnist.train.labels[id] === 1).slice(0, 300)
    const same = rowsOf(all, ones)
    const grey = {
      values: Float32Array.from({ length: 3 * same.values.length }, (_, at) => same.values[Math.floor(at / 3)] ?? 0),
      rows: same.rows,
      columns: 3 * same.columns,
    }
    expect((await figures(grey)).modes).toBeLessThanOrEqual(3) // a one or two are taken for something else
  }, 120_000)
})
