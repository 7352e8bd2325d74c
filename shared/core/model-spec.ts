import { z } from 'zod'

const size = z.number().int().positive()

const denseLayerSchema = z.object({
  kind: z.literal('dense'),
  name: z.string(),
  units: size,
  activation: z.enum(['relu', 'tanh', 'linear']),
  /** Name of the layer whose output this one takes; the layer before it where null. */
  input: z.string().nullable(),
})
export type DenseLayer = Readonly<z.infer<typeof denseLayerSchema>>

const networkSpecSchema = z.object({ name: z.string(), inputSize: size, layers: z.array(denseLayerSchema) })
export type NetworkSpec = Readonly<z.infer<typeof networkSpecSchema>>

/** A model as data: stored in a checkpoint's manifest, so that another program can rebuild it. */
export const modelSpecSchema = z.object({
  name: z.string(),
  networks: z.array(networkSpecSchema),
  latentSize: size,
  /** Interval of pixel values that the networks see and make. */
  pixelRange: z.tuple([z.number(), z.number()]),
})
export type ModelSpec = Readonly<z.infer<typeof modelSpecSchema>>

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
