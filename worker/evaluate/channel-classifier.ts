import type { Split } from '../../shared/dataset/image-dataset.ts'
import { accuracyOf, type Classifier } from './classifier.ts'
import type { Features } from './statistics.ts'

/**
 * Tells images apart whose channels are images themselves: features are those of the channels, one behind the other, and a class is one of
 * each channel's, the first one's digit in front. Their probabilities are products: the classifier sees each channel alone.
 */
export function channelClassifier(one: Classifier, channels: number): Classifier {
  return {
    sha256: one.sha256,
    async classify(images) {
      const found = []
      for (let channel = 0; channel < channels; channel++)
        found.push(await one.classify(channelOf(images, channel, channels)))
      return {
        features: beside(found.map(({ features }) => features)),
        probabilities: found.map(({ probabilities }) => probabilities).reduce(products),
      }
    },
    dispose: () => one.dispose(),
  }
}

/** Share of the channels that are told right. */
export async function channelAccuracy(one: Classifier, images: Features, labels: Uint8Array): Promise<number> {
  const channels = labels.length / images.rows
  let sum = 0
  for (let channel = 0; channel < channels; channel++) {
    const { probabilities } = await one.classify(channelOf(images, channel, channels))
    sum += accuracyOf(
      probabilities,
      Uint8Array.from({ length: images.rows }, (_, row) => labels[row * channels + channel] ?? 0),
    )
  }
  return sum / channels
}

/** Images to expect of each class: those of the labels, or where channels have labels, as many as if they were drawn apart. */
export function classCounts({ count, labels, channelLabels }: Split, classes: number): number[] {
  if (!channelLabels) return countsOf(labels, classes)
  const channels = channelLabels.length / count
  const each = Math.round(classes ** (1 / channels))
  const shares = Array.from({ length: channels }, (_, channel) => {
    const own = channelLabels.filter((_, at) => at % channels === channel)
    return countsOf(own, each).map((found) => found / count)
  })
  return shares.reduce((all, more) => all.flatMap((share) => more.map((own) => share * own)), [count])
}

function countsOf(labels: Uint8Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0)
  for (const label of labels) counts[label] = (counts[label] ?? 0) + 1
  return counts
}

function channelOf({ values, rows, columns }: Features, channel: number, channels: number): Features {
  const pixels = columns / channels
  const own = new Float32Array(rows * pixels)
  for (let at = 0; at < own.length; at++) own[at] = values[at * channels + channel] ?? 0
  return { values: own, rows, columns: pixels }
}

function beside(parts: readonly Features[]): Features {
  const columns = parts.reduce((sum, part) => sum + part.columns, 0)
  const rows = parts[0]?.rows ?? 0
  const values = new Float32Array(rows * columns)
  let at = 0
  for (const part of parts) {
    for (let row = 0; row < rows; row++)
      values.set(part.values.subarray(row * part.columns, (row + 1) * part.columns), row * columns + at)
    at += part.columns
  }
  return { values, rows, columns }
}

/** [rows, a · b] of [rows, a] and [rows, b]. */
function products(first: Features, second: Features): Features {
  const [a, b] = [first.columns, second.columns]
  const values = new Float32Array(first.rows * a * b)
  for (let row = 0; row < first.rows; row++)
    for (let i = 0; i < a; i++)
      for (let j = 0; j < b; j++)
        values[(row * a + i) * b + j] = (first.values[row * a + i] ?? 0) * (second.values[row * b + j] ?? 0)
  return { values, rows: first.rows, columns: a * b }
}
