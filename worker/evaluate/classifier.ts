import { setImmediate } from 'node:timers/promises'
import { usage } from '../../shared/core/config.ts'
import { assert } from '../../shared/core/errors.ts'
import type { ImageShape } from '../../shared/core/image-grid.ts'
import { joinFloats } from '../../shared/core/join-floats.ts'
import { decodeSafetensors } from '../../shared/core/safetensors.ts'
import { sha256 } from '../../shared/dataset/chunk.ts'
import { classifier } from '../../shared/model/classifier.ts'
import { parseDescription, specOf } from '../../shared/model/description.ts'
import { defaultHyperparameters } from '../../shared/model/hyperparameters.ts'
import type { NetworkSpec } from '../../shared/model/layers.ts'
import { parametersOf } from '../../shared/model/parameters.ts'
import type { Backend } from '../backend/backend.ts'
import { applyNetwork } from '../model/network.ts'
import { networkOf } from '../model/network-of.ts'
import type { Features } from './statistics.ts'

/** The classifier that is part of the program: MNIST's digits (docs/evaluation.md says how it was trained). */
export const ownClassifier = new URL('./mnist-classifier.safetensors', import.meta.url)

export interface Classified {
  /** What the layer before the logits says, [rows, features]. */
  readonly features: Features
  /** [rows, classes] */
  readonly probabilities: Features
}

export interface Classifier {
  /** Of the file: figures compare only where it is the same. */
  readonly sha256: string
  /** `images` [rows, pixels] in 0…1. */
  classify(images: Features): Promise<Classified>
  dispose(): void
}

const rowsAtOnce = 500

/** What the program's own classifier is, for images of this shape. */
export function classifierNetwork(image: ImageShape): NetworkSpec {
  return networkOf(
    specOf(parseDescription(classifier, 'model classifier'), defaultHyperparameters, image),
    'classifier',
  )
}

/** `bytes`: the weights.safetensors of a trained classifier with this network. */
export function openClassifier(backend: Backend, network: NetworkSpec, bytes: Uint8Array): Classifier {
  const { tensors } = decodeSafetensors(bytes)
  const bound = backend.bind(
    parametersOf(network).map(({ name, shape }) => {
      const tensor = tensors.get(name)
      if (tensor?.shape.join() !== shape.join())
        throw usage(
          `the classifier has no tensor ${name} [${shape}]; write --classifier with the weights.safetensors of a --model classifier that was trained on images of ${network.inputShape.join(' × ')}`,
        )
      return { name, shape, weights: tensor.data }
    }),
  )
  const { ops } = backend
  const [features, logits] = network.layers.slice(-2).map(({ name }) => name)
  return {
    sha256: sha256(bytes),
    async classify({ values, rows, columns }) {
      const found = { features: [] as Float32Array[], probabilities: [] as Float32Array[] }
      for (let start = 0; start < rows; start += rowsAtOnce) {
        await setImmediate() // lets the process hear that it is to end
        const count = Math.min(rowsAtOnce, rows - start)
        const block = values.subarray(start * columns, (start + count) * columns)
        const layer = (name: string | undefined) => {
          const outputs = applyNetwork(ops, network, bound.tensors, ops.input(block, [count, columns]))
          const tensor = outputs.get(name ?? '')
          assert(tensor, `the classifier has a layer ${name}`)
          return tensor
        }
        found.features.push(await backend.compute(() => layer(features)))
        found.probabilities.push(softmax(await backend.compute(() => layer(logits)), count))
      }
      return { features: joined(found.features, rows), probabilities: joined(found.probabilities, rows) }
    },
    dispose: () => bound.dispose(),
  }
}

/** Share of the rows whose largest probability is that of their label. */
export function accuracyOf({ values, rows, columns }: Features, labels: Uint8Array): number {
  let right = 0
  for (let row = 0; row < rows; row++) {
    const probabilities = values.subarray(row * columns, (row + 1) * columns)
    right += Number(probabilities.indexOf(Math.max(...probabilities)) === labels[row])
  }
  return right / rows
}

function softmax(logits: Float32Array, rows: number): Float32Array {
  const classes = logits.length / rows
  const probabilities = new Float32Array(logits.length)
  for (let start = 0; start < logits.length; start += classes) {
    const row = logits.subarray(start, start + classes)
    const largest = Math.max(...row)
    const sum = row.reduce((total, logit) => total + Math.exp(logit - largest), 0)
    for (const [column, logit] of row.entries()) probabilities[start + column] = Math.exp(logit - largest) / sum
  }
  return probabilities
}

function joined(blocks: readonly Float32Array[], rows: number): Features {
  const values = joinFloats(blocks)
  return { values, rows, columns: values.length / rows }
}
