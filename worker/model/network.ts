import { assert } from '../../shared/core/errors.ts'
import type { DenseLayer, Layer, NetworkSpec } from '../../shared/model/layers.ts'
import { isImageLayer, networkInput } from '../../shared/model/shapes.ts'
import type { Ops, Parameters, Tensor } from '../backend/backend.ts'

/** Output of every layer by name, for x [rows, inputSize] and, where layers read them, one-hot labels [rows, classes]. */
export function applyNetwork(
  ops: Ops,
  network: NetworkSpec,
  parameters: Parameters,
  x: Tensor,
  labels: Tensor | null = null,
): Map<string, Tensor> {
  const [first] = network.layers
  const rows = x.shape[0] ?? 0
  const seesImages = first && (isImageLayer(first) || first.kind === 'layerNorm')
  let current = seesImages ? ops.reshape(x, [rows, ...network.inputShape]) : x
  const outputs = new Map<string, Tensor>([[networkInput, current]])
  for (const layer of network.layers) {
    const input = layer.input === null ? current : outputs.get(layer.input)
    assert(input, `layer ${network.name}/${layer.name} has an input`)
    const y = applyLayer(ops, layer, parameterOf(parameters, network.name, layer), input, labels)
    current = layer.kind === 'dense' ? y : activated(ops, layer, y)
    outputs.set(layer.name, current)
  }
  return outputs
}

/** Output of the last layer, flat. */
export function applySequential(
  ops: Ops,
  network: NetworkSpec,
  parameters: Parameters,
  x: Tensor,
  labels: Tensor | null = null,
): Tensor {
  const last = applyNetwork(ops, network, parameters, x, labels).get(network.layers.at(-1)?.name ?? '')
  assert(last, `network ${network.name} has layers`)
  return flat(ops, last)
}

type Parameter = (name: string) => Tensor

/** The parameters of a layer, by their own names. */
export function parameterOf(parameters: Parameters, network: string, layer: Layer): Parameter {
  return (name) => {
    const tensor = parameters.get(`${network}/${layer.name}/${name}`)
    assert(tensor, `layer ${network}/${layer.name} has its ${name}`)
    return tensor
  }
}

function applyLayer(ops: Ops, layer: Layer, parameter: Parameter, input: Tensor, labels: Tensor | null): Tensor {
  switch (layer.kind) {
    case 'dense': {
      const y = denseLayer(ops, layer, parameter, flat(ops, input))
      return layer.shape ? ops.reshape(y, [input.shape[0] ?? 0, ...layer.shape]) : y
    }
    case 'conv2d':
    case 'conv2dTranspose': {
      // Its output has more values than its kernel, most often.
      const kernel = layer.spectralNorm
        ? ops.div(parameter('kernel'), spectralNormOf(ops, parameter))
        : parameter('kernel')
      return ops.add(ops[layer.kind](input, kernel, { stride: layer.strides, padding: 'same' }), parameter('bias'))
    }
    case 'maxPool':
      return ops.maxPool(input, { size: layer.size, stride: layer.size, padding: 'valid' })
    case 'layerNorm':
      return ops.layerNorm(input, parameter('scale'), parameter('offset'))
    case 'coupling':
      throw new Error(`invariant broken: the coupling ${layer.name} belongs to a prior (prior.ts)`)
    case 'label':
      assert(labels, 'a conditional model is given labels')
      return ops.concatColumns(flat(ops, input), labels)
    default:
      return layer satisfies never
  }
}

/** y = activation(x · kernel + bias), x [rows, in]: its activation is part of it. */
function denseLayer(ops: Ops, layer: DenseLayer, parameter: Parameter, x: Tensor): Tensor {
  const [kernel, bias] = [parameter('kernel'), parameter('bias')]
  const { activation, spectralNorm } = layer
  if (spectralNorm)
    return activated(ops, layer, ops.add(ops.div(ops.matMul(x, kernel), spectralNormOf(ops, parameter)), bias))
  if (activation === 'relu' || activation === 'leakyRelu') return ops.dense(x, kernel, bias, activation)
  return activated(ops, layer, ops.dense(x, kernel, bias))
}

function activated(ops: Ops, { activation }: Layer, x: Tensor): Tensor {
  return activation === 'linear' ? x : ops[activation](x)
}

/** σ = leftᵀ W right, a scalar; the singular vectors count as constants (Miyato et al. 2018, eq. 9 to 12). */
function spectralNormOf(ops: Ops, parameter: Parameter): Tensor {
  const [kernel, left, right] = [parameter('kernel'), parameter('left'), parameter('right')]
  const [rows, columns] = [left.shape[0] ?? 0, right.shape[0] ?? 0]
  const matrix = kernel.shape.length === 2 ? kernel : ops.reshape(kernel, [rows, columns])
  return ops.sum(ops.mul(ops.matMul(ops.reshape(left, [1, rows]), matrix), ops.reshape(right, [1, columns])))
}

function flat(ops: Ops, x: Tensor): Tensor {
  if (x.shape.length === 2) return x
  const [rows = 0, ...rest] = x.shape
  return ops.reshape(x, [rows, rest.reduce((product, extent) => product * extent, 1)])
}
