import type { ImageDataset } from '../../shared/dataset/image-dataset.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import type { Backend, Evaluation, Ops, Tensor } from '../../worker/backend/backend.ts'
import type { Model, Phase } from '../../worker/model/model.ts'

/**
 * Two networks with the shape of a GAN's step, whose gradients are sums of whole numbers: exact in float32 in any order.
 * So the weights of every step are the same bits for every world size, in fast mode too, and a wrong step shows at once.
 */
interface ToyTensor extends Tensor {
  readonly values: Float32Array
}

const side = 4
const network = (name: string) => ({
  name,
  inputShape: [6],
  inputSize: 6,
  layers: [
    {
      ...{ kind: 'dense' as const, name: 'dense0', units: 10, activation: 'linear' as const, input: null },
      spectralNorm: false,
    },
  ],
})

export const toySpec: ModelSpec = {
  name: 'gan',
  family: 'gan',
  image: { height: side, width: side, channels: 1 },
  noise: 'normal',
  packing: 1,
  conditional: false,
  averages: [],
  networks: [network('discriminator'), network('generator')],
  latentSize: 3,
  pixelRange: [0, 255],
}

export const toyModel: Model = {
  spec: toySpec,
  phases: (batches) => [
    ...Array.from({ length: batches }, (_, batch) => phase('discriminator', batch)),
    phase('generator', null),
  ],
  reconstruct: null,
  divergence: null,
  generate: (_ops, _parameters, noise) => tensor(new Float32Array((noise.shape[0] ?? 0) * side * side)),
}

function phase(name: string, batch: number | null): Phase {
  return {
    name,
    updates: [name],
    batch,
    prepare: null,
    draws: {},
    scalars: [],
    evaluate(_ops, _parameters, { images, noise }): Evaluation {
      // [rows]: a whole number of each row, of its pixels and its noise
      const rows = new Float32Array(noise.shape[0] ?? 0)
      add(rows, images, 1)
      add(rows, noise, 16)
      return { loss: tensor(rows), scalars: {} }
    },
  }
}

function add(rows: Float32Array, from: Tensor | null, factor: number): void {
  if (from === null) return
  const { values, shape } = from as ToyTensor
  const columns = shape[1] ?? 1
  for (const [index, value] of values.entries()) {
    const row = Math.floor(index / columns)
    rows[row] = (rows[row] ?? 0) + Math.round(value * factor)
  }
}

function tensor(values: Float32Array, shape: readonly number[] = [values.length]): ToyTensor {
  return { shape: [...shape], values }
}

/** `poisoned`: whether the evaluation that has just been made is to give NaN. */
export function toyBackend(compute: () => Promise<void>, poisoned: () => boolean): Backend {
  return {
    name: 'toy',
    version: '1',
    useMath: (math) => math,
    ops: { input: (values: Float32Array, shape: readonly number[]) => tensor(values, shape) } as unknown as Ops,
    bind: (views) => {
      const tensors = new Map(views.map((view) => [view.name, tensor(view.weights, view.shape)]))
      return { tensors, aliased: true, refresh: () => tensors, dispose: () => {} }
    },
    async gradients(evaluate, targets) {
      const { values: rows } = evaluate().loss as ToyTensor
      const spoiled = poisoned()
      await compute()
      for (const { parameter, gradient } of targets) {
        const weights = (parameter as ToyTensor).values
        for (let index = 0; index < gradient.length; index++) {
          const pull = Math.max(-512, Math.min(512, Math.round((weights[index] ?? 0) * 64)))
          let sum = 0
          for (const row of rows) sum += row * ((index % 7) - 3) + pull
          gradient[index] = spoiled ? Number.NaN : sum
        }
      }
      return { loss: rows.reduce((sum, row) => sum + row, 0) }
    },
    compute: (run) => Promise.resolve((run() as ToyTensor).values),
    hold: (run) => ({ tensor: run(), release: () => {} }),
    takesTurns: false,
    tensorCount: () => 0,
  }
}

/** Pixels that follow from the sample's number. */
export function toyDataset(count: number): ImageDataset {
  const images = Uint8Array.from({ length: count * side * side }, (_, index) => Math.imul(index + 1, 2654435761) >>> 24)
  const split = { count, images, labels: new Uint8Array(count) }
  return { name: 'toy', height: side, width: side, channels: 1, train: split, test: split }
}
