import { partOf } from '../core/prune-options.ts'
import type { ModelDescription } from './description.ts'
import type { NetworkSpec } from './layers.ts'
import { averageOf, type ModelSpec } from './spec.ts'

export interface Tensor {
  readonly shape: readonly number[]
  readonly data: Float32Array
}

/** Units that stay, in order, by network/layer; only of the layers that lose some. */
export type KeptUnits = ReadonlyMap<string, readonly number[]>

/**
 * Which units of a model's hidden dense layers stay when `parts` of them go (prune-options.ts), one at least. Those go whose norm is the
 * smallest (after Li et al. 2017, section 3.1): the norm of what goes in, bias included, times that of what goes out, which does not change
 * when one is made larger and the other smaller. A layer is hidden where dense layers, and no others, take its output.
 */
export function keptUnits(
  spec: ModelSpec,
  tensors: ReadonlyMap<string, Tensor>,
  parts: Readonly<Record<string, number>>,
): KeptUnits {
  const kept = new Map<string, readonly number[]>()
  for (const network of spec.networks)
    for (const [index, layer] of network.layers.entries()) {
      const takers = takersOf(network, index)
      if (layer.kind !== 'dense' || layer.shape || takers.length === 0 || takers.some(({ kind }) => kind !== 'dense'))
        continue
      const path = `${network.name}/${layer.name}`
      const norms = unitNorms(
        layer.units,
        path,
        takers.map(({ name }) => `${network.name}/${name}`),
        tensors,
      )
      const gone = Math.min(layer.units - 1, Math.floor(partOf(parts, path) * layer.units))
      if (gone === 0) continue
      const order = [...norms.keys()].sort((a, b) => (norms[a] ?? 0) - (norms[b] ?? 0) || a - b)
      kept.set(
        path,
        order.slice(gone).sort((a, b) => a - b),
      )
    }
  return kept
}

function unitNorms(
  units: number,
  path: string,
  takers: readonly string[],
  tensors: ReadonlyMap<string, Tensor>,
): Float64Array {
  const into = new Float64Array(units)
  const from = new Float64Array(units)
  for (const name of ['kernel', 'bias'])
    for (const [at, value] of (tensors.get(`${path}/${name}`)?.data ?? []).entries())
      into[at % units] = (into[at % units] ?? 0) + value * value
  for (const taker of takers) {
    const { shape, data } = tensors.get(`${taker}/kernel`) ?? { shape: [], data: new Float32Array(0) }
    const columns = shape[1] ?? 1
    for (const [at, value] of data.entries()) {
      const unit = Math.floor(at / columns)
      from[unit] = (from[unit] ?? 0) + value * value
    }
  }
  return into.map((square, unit) => Math.sqrt(square * (from[unit] ?? 0)))
}

/** Layers that take the output of layer `index`. */
function takersOf({ layers }: NetworkSpec, index: number): NetworkSpec['layers'] {
  return layers.filter((_, other) => other > index && inputOf(layers, other) === layers[index]?.name)
}

function inputOf(layers: NetworkSpec['layers'], index: number): string | undefined {
  return layers[index]?.input ?? layers[index - 1]?.name
}

/** The description with so many units. */
export function withKeptUnits(description: ModelDescription, kept: KeptUnits): ModelDescription {
  const networks = description.networks.map((network) => ({
    ...network,
    layers: network.layers.map((layer) => {
      const units = kept.get(`${network.name}/${layer.name}`)?.length
      return layer.kind === 'dense' && units !== undefined ? { ...layer, units } : layer
    }),
  }))
  return { ...description, networks }
}

/** What is left of a tensor of a checkpoint, network/layer/parameter, with or without the name of a moment behind it. */
export function cutTensor(spec: ModelSpec, kept: KeptUnits, name: string, tensor: Tensor): Tensor {
  const [first = '', layerName = '', parameter] = name.split('/')
  const network = spec.networks.find((one) => one.name === first || averageOf(one.name) === first)
  const index = network?.layers.findIndex((layer) => layer.name === layerName) ?? -1
  const layer = network?.layers[index]
  if (!network || layer?.kind !== 'dense') return tensor
  const columns = kept.get(`${network.name}/${layerName}`) ?? null
  const rows = kept.get(`${network.name}/${inputOf(network.layers, index)}`) ?? null
  switch (parameter) {
    case 'kernel':
      return cut(tensor, rows, columns)
    case 'left': // a singular vector, one value a row
      return cut(tensor, rows, null)
    default: // bias, and the singular vector with a value a column
      return cut(tensor, columns, null)
  }
}

/** Rows and columns of a matrix, or values of a vector as its rows; null: all. */
function cut({ shape, data }: Tensor, rows: readonly number[] | null, columns: readonly number[] | null): Tensor {
  const [height = 0, width = 1] = shape
  const [ys, xs] = [rows ?? [...Array(height).keys()], columns ?? [...Array(width).keys()]]
  const values = new Float32Array(ys.length * xs.length)
  for (const [y, row] of ys.entries())
    for (const [x, column] of xs.entries()) values[y * xs.length + x] = data[row * width + column] ?? 0
  return { shape: shape.length === 1 ? [ys.length] : [ys.length, xs.length], data: values }
}
