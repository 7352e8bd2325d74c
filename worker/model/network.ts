import { assert } from '../../shared/core/errors.ts'
import type { DenseLayer, NetworkSpec } from '../../shared/core/model-spec.ts'
import type { Ops, Parameters, Tensor } from '../backend/backend.ts'

export function dense(
  name: string,
  units: number,
  activation: DenseLayer['activation'],
  input: string | null = null,
): DenseLayer {
  return { kind: 'dense', name, units, activation, input }
}

/** Output of every layer by name: y = activation(x · kernel + bias), x [rows, in]. */
export function applyNetwork(ops: Ops, network: NetworkSpec, parameters: Parameters, x: Tensor): Map<string, Tensor> {
  const outputs = new Map<string, Tensor>()
  let current = x
  for (const layer of network.layers) {
    const input = layer.input === null ? current : outputs.get(layer.input)
    const kernel = parameters.get(`${network.name}/${layer.name}/kernel`)
    const bias = parameters.get(`${network.name}/${layer.name}/bias`)
    assert(input && kernel && bias, `layer ${network.name}/${layer.name} has input and parameters`)
    const linear = ops.dense(input, kernel, bias)
    current = layer.activation === 'linear' ? linear : ops[layer.activation](linear)
    outputs.set(layer.name, current)
  }
  return outputs
}

/** Output of the last layer. */
export function applySequential(ops: Ops, network: NetworkSpec, parameters: Parameters, x: Tensor): Tensor {
  const last = applyNetwork(ops, network, parameters, x).get(network.layers.at(-1)?.name ?? '')
  assert(last, `network ${network.name} has layers`)
  return last
}
