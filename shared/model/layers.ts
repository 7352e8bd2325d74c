import { z } from 'zod'

export const count = z.number().int().positive()

/** What networks are for (description.ts). */
export const families = ['gan', 'vae', 'classifier'] as const

const activations = ['linear', 'relu', 'leakyRelu', 'tanh', 'sigmoid'] as const
export type Activation = (typeof activations)[number]

/**
 * The kinds of layers, with sizes of the type that `extent` decodes: numbers, or words for sizes that are known only with the
 * data set (description.ts).
 */
export function layerSchema<Extent extends z.ZodType>(extent: Extent) {
  const common = {
    name: z.string().regex(/^\w{1,64}$/),
    /** Name of the layer whose output this one takes; the layer before it where null. */
    input: z.string().nullable().default(null),
    activation: z.enum(activations).default('linear'),
  }
  const filters = {
    filters: extent,
    kernelSize: count.max(15),
    strides: count.max(8).default(1),
    spectralNorm: z.boolean().default(false),
  }
  return z.discriminatedUnion('kind', [
    /** y = x · kernel + bias, x and y flat; `shape`: y is an image [height, width, channels] of so many units. */
    z.strictObject({
      kind: z.literal('dense'),
      ...common,
      units: extent,
      shape: z.tuple([extent, extent, extent]).optional(),
      spectralNorm: z.boolean().default(false),
    }),
    /** Convolution of an image with zeros around it: [⌈height / strides⌉, ⌈width / strides⌉, filters]. */
    z.strictObject({ kind: z.literal('conv2d'), ...common, ...filters }),
    /** Its transpose: [height · strides, width · strides, filters]. */
    z.strictObject({ kind: z.literal('conv2dTranspose'), ...common, ...filters }),
    /** The largest of each window of an image; windows do not overlap: [⌊height / size⌋, ⌊width / size⌋, channels]. */
    z.strictObject({ kind: z.literal('maxPool'), ...common, size: count.max(15) }),
    /** Layer normalisation over all values of a sample (Ba et al. 2016), scale and offset by channel. */
    z.strictObject({ kind: z.literal('layerNorm'), ...common }),
    /**
     * Affine coupling (Dinh et al. 2017, eq. 7 and 8), invertible; of the network `prior` alone. The first ⌈n/2⌉ of n values go through a
     * hidden layer of so many units to a factor and a shift for each of the others, and behind them.
     */
    z.strictObject({
      kind: z.literal('coupling'),
      name: common.name,
      input: common.input,
      activation: z.literal('linear').default('linear'),
      units: extent,
    }),
    /** The flat values and, behind them, the one-hot label. */
    z.strictObject({ kind: z.literal('label'), ...common }),
  ])
}

const exactLayerSchema = layerSchema(count)
export type Layer = Readonly<z.infer<typeof exactLayerSchema>>
export type DenseLayer = Extract<Layer, { kind: 'dense' }>

export const networkSpecSchema = z.object({
  name: z.string(),
  /** What a sample of its input has: [values], or an image [height, width, channels]. */
  inputShape: z.array(count),
  inputSize: count,
  layers: z.array(exactLayerSchema),
})
export type NetworkSpec = Readonly<z.infer<typeof networkSpecSchema>>
