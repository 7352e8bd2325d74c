/** A model as data: stored in a checkpoint's manifest, so that another program can rebuild it. */
export interface DenseLayer {
  readonly kind: 'dense'
  readonly name: string
  readonly units: number
  readonly activation: 'relu' | 'tanh' | 'linear'
  /** Name of the layer whose output this one takes; the layer before it where null. */
  readonly input: string | null
}

export interface NetworkSpec {
  readonly name: string
  readonly inputSize: number
  readonly layers: readonly DenseLayer[]
}

export interface ModelSpec {
  readonly name: string
  readonly networks: readonly NetworkSpec[]
  readonly latentSize: number
  /** Interval of pixel values that the networks see and make. */
  readonly pixelRange: readonly [number, number]
}

export interface ParameterSpec {
  /** network/layer/parameter */
  readonly name: string
  readonly shape: readonly number[]
  readonly fanIn: number
  readonly fanOut: number
}

/** The parameters of a network, in order: a kernel [in, out] and a bias [out] per layer. */
export function parametersOf(network: NetworkSpec): ParameterSpec[] {
  const sizes = new Map<string, number>()
  let previous = network.inputSize
  return network.layers.flatMap((layer) => {
    const fanIn = layer.input === null ? previous : (sizes.get(layer.input) ?? previous)
    sizes.set(layer.name, layer.units)
    previous = layer.units
    const path = `${network.name}/${layer.name}`
    return [
      { name: `${path}/kernel`, shape: [fanIn, layer.units], fanIn, fanOut: layer.units },
      { name: `${path}/bias`, shape: [layer.units], fanIn, fanOut: layer.units },
    ]
  })
}
