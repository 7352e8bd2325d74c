import type { Layer, NetworkSpec } from './layers.ts'
import { inputShapes, type Shape } from './shapes.ts'
import { labelClasses } from './spec.ts'

export interface ParameterSpec {
  /** network/layer/parameter */
  readonly name: string
  readonly shape: readonly number[]
  readonly fanIn: number
  readonly fanOut: number
  /** How it starts: as the run's initializer has kernels and biases, or as ones, or as a random vector of length 1. */
  readonly role: 'kernel' | 'bias' | 'scale' | 'singularVector'
}

/** The parameters of a network, in order, layer by layer. Those with the role `singularVector` are state, and have no gradient. */
export function parametersOf(network: NetworkSpec): ParameterSpec[] {
  return [...inputShapes(network, labelClasses)].flatMap(([layer, input]) =>
    layerParameters(layer, input).map((parameter) => ({
      ...parameter,
      name: `${network.name}/${layer.name}/${parameter.name}`,
    })),
  )
}

/** Kernels are [in, out], those of convolutions [height, width, in, out], of transposed ones [height, width, out, in]. */
function layerParameters(layer: Layer, input: Shape): ParameterSpec[] {
  switch (layer.kind) {
    case 'dense': {
      const fanIn = input.reduce((product, extent) => product * extent, 1)
      return linear([fanIn, layer.units], fanIn, layer.units, layer.units, layer.spectralNorm)
    }
    case 'conv2d':
    case 'conv2dTranspose': {
      const { kernelSize: size, filters } = layer
      const channels = input[2] ?? 1
      const turned = layer.kind === 'conv2dTranspose'
      const shape = [size, size, ...(turned ? [filters, channels] : [channels, filters])]
      // Each value of a transposed convolution's output is a sum over size² / strides² places of its input.
      const places = turned ? (size * size) / layer.strides ** 2 : size * size
      const places2 = turned ? size * size : (size * size) / layer.strides ** 2
      return linear(shape, places * channels, places2 * filters, filters, layer.spectralNorm)
    }
    case 'layerNorm': {
      const channels = input.at(-1) ?? 1
      const common = { shape: [channels], fanIn: channels, fanOut: channels }
      return [
        { name: 'scale', ...common, role: 'scale' },
        { name: 'offset', ...common, role: 'bias' },
      ]
    }
    case 'coupling': {
      const values = input[0] ?? 0
      const kept = couplingKeeps(values)
      const [hidden, moves] = [
        linear([kept, layer.units], kept, layer.units, layer.units, false),
        linear([layer.units, 2 * (values - kept)], layer.units, 2 * (values - kept), 2 * (values - kept), false),
      ]
      const numbered = (number: number) => (parameter: ParameterSpec) => ({
        ...parameter,
        name: `${parameter.name}${number}`,
      })
      return [...hidden.map(numbered(0)), ...moves.map(numbered(1))]
    }
    case 'label':
    case 'maxPool':
      return []
    default:
      return layer satisfies never
  }
}

/** Of so many values, those that a coupling passes on as they are. */
export function couplingKeeps(values: number): number {
  return Math.ceil(values / 2)
}

function linear(
  shape: readonly number[],
  fanIn: number,
  fanOut: number,
  units: number,
  spectralNorm: boolean,
): ParameterSpec[] {
  const fans = { fanIn, fanOut }
  const columns = shape.at(-1) ?? 1
  const rows = shape.reduce((product, extent) => product * extent, 1) / columns
  const vectors: ParameterSpec[] = [
    { name: 'left', shape: [rows], ...fans, role: 'singularVector' },
    { name: 'right', shape: [columns], ...fans, role: 'singularVector' },
  ]
  return [
    { name: 'kernel', shape, ...fans, role: 'kernel' },
    { name: 'bias', shape: [units], ...fans, role: 'bias' },
    ...(spectralNorm ? vectors : []),
  ]
}
