import { usage } from '../core/errors.ts'
import type { Layer, NetworkSpec } from './layers.ts'

/** Shape of a sample that goes into a layer. */
export type Shape = readonly number[]

/** In place of a layer's name: what goes into the network. No layer has this name. */
export const networkInput = '<input>'

/** What every layer gives for one sample: [values], or an image [height, width, channels]. `classes`: of labels. */
export function outputShapes(network: NetworkSpec, classes: number, where = network.name): Map<string, Shape> {
  const shapes = new Map<string, Shape>()
  for (const [layer, shape] of inputShapes(network, classes, where))
    shapes.set(layer.name, outputOf(layer, shape, classes))
  return shapes
}

/** What goes into every layer. Errors say what is wrong with which layer. */
export function* inputShapes(network: NetworkSpec, classes: number, where = network.name): Generator<[Layer, Shape]> {
  const shapes = new Map<string, Shape>([[networkInput, network.inputShape]])
  let current: Shape = network.inputShape
  for (const layer of network.layers) {
    const input = layer.input === null ? current : shapes.get(layer.input)
    if (!input) throw usage(`${where}/${layer.name}: its input ${layer.input} is no layer before it`)
    if (shapes.has(layer.name)) throw usage(`${where}/${layer.name}: another layer has this name`)
    if (isImageLayer(layer) && input.length !== 3)
      throw usage(`${where}/${layer.name}: its input is flat; give the dense layer before it a shape`)
    yield [layer, input]
    current = outputOf(layer, input, classes)
    shapes.set(layer.name, current)
  }
}

/** Whether a layer reads an image and nothing else. */
export function isImageLayer({ kind }: Layer): boolean {
  return kind === 'conv2d' || kind === 'conv2dTranspose' || kind === 'maxPool'
}

function outputOf(layer: Layer, input: Shape, classes: number): Shape {
  const [height = 1, width = 1] = input
  switch (layer.kind) {
    case 'dense':
      return layer.shape ?? [layer.units]
    case 'conv2d':
      return [Math.ceil(height / layer.strides), Math.ceil(width / layer.strides), layer.filters]
    case 'conv2dTranspose':
      return [height * layer.strides, width * layer.strides, layer.filters]
    case 'maxPool':
      return [Math.floor(height / layer.size), Math.floor(width / layer.size), input[2] ?? 1]
    case 'layerNorm':
    case 'coupling':
      return input
    case 'label':
      return [input.reduce((product, extent) => product * extent, 1) + classes]
    default:
      return layer satisfies never
  }
}
