import { z } from 'zod'
import { usage } from '../core/errors.ts'
import type { ImageShape } from '../core/image-grid.ts'
import { type Hyperparameters, recipeSchema } from './hyperparameters.ts'
import { count, families, type Layer, layerSchema, type NetworkSpec } from './layers.ts'
import { outputShapes } from './shapes.ts'
import { labelClasses, type ModelSpec } from './spec.ts'

/** A size: a number, or words that stand for one, with factors and divisors: `pixels`, `height/4`, `height/4*width/4*256`. */
const extentSchema = z.union([
  count,
  z
    .string()
    .regex(
      /^(\d+|pixels|height|width|channels|latent)(\/\d+)?(\*(\d+|pixels|height|width|channels|latent)(\/\d+)?)*$/,
      'a number, or a size in pixels, height, width, channels or latent, such as "height/4"',
    ),
])
type Extent = z.infer<typeof extentSchema>

const networkSchema = z.strictObject({
  name: z.string().regex(/^\w{1,64}$/),
  /** What goes in, flat: the latent vector, or an image; a convolution sees the image as it is. */
  input: z.enum(['latent', 'image']),
  layers: z.array(layerSchema(extentSchema)).min(1).max(200),
})

/**
 * A model as data: what a model file exports, a run's config holds and workers are sent. It does not know the data set: sizes may be
 * words. `family` says what its networks are for: a `gan` has a generator and a discriminator, a `vae` an encoder with layers
 * `mean` and `logVariance`, a decoder, and maybe a prior, a `classifier` one network of this name whose last layer is the logits.
 */
export const modelDescriptionSchema = z.strictObject({
  name: z.string().regex(/^[\w-]{1,40}$/, 'letters, digits, dashes and underscores'),
  family: z.enum(families),
  /** Interval of pixel values that the networks see and make. */
  pixelRange: z.tuple([z.number(), z.number()]),
  networks: z.array(networkSchema).min(1).max(8),
  /** Sets of hyperparameters by name, `default` among them. */
  recipes: z.record(z.string(), recipeSchema),
})
export type ModelDescription = z.infer<typeof modelDescriptionSchema>
/** As one writes it: what has a default may be left out. */
export type WrittenModel = z.input<typeof modelDescriptionSchema>

/** Of a VAE that has one: its layers take a latent vector back to the normal noise that it is made of. */
export const priorNetwork = 'prior'

const networksOf = {
  gan: ['generator', 'discriminator'],
  vae: ['encoder', 'decoder'],
  classifier: ['classifier'],
} as const

/** Checks a description from outside. `from` names it in the message. */
export function parseDescription(value: unknown, from: string): ModelDescription {
  const result = modelDescriptionSchema.safeParse(value)
  if (!result.success) {
    const issue = result.error.issues[0]
    throw usage(`${from}: ${issue?.path.join('.') || 'the model'}: ${issue?.message ?? 'is not a description'}`)
  }
  const description = result.data
  const names = description.networks.map(({ name }) => name)
  const wanted: readonly string[] = networksOf[description.family]
  const optional = description.family === 'vae' ? [priorNetwork] : []
  const known = names.every((name, index) => [...wanted, ...optional].includes(name) && names.indexOf(name) === index)
  if (!known || !wanted.every((name) => names.includes(name)))
    throw usage(`${from}: networks: a ${description.family} has ${wanted.join(' and ')}, not ${names.join(', ')}`)
  for (const { name, input, layers } of description.networks) {
    const fits = layers.every(({ kind }) => (kind === 'coupling') === (name === priorNetwork))
    const chain = name !== priorNetwork || (input === 'latent' && layers.every((layer) => layer.input === null))
    if (!fits || !chain)
      throw usage(
        `${from}: networks: ${priorNetwork} is a chain of layers of the kind coupling with the input latent, no other has one`,
      )
  }
  for (const [recipe, { learningRates }] of Object.entries(description.recipes)) {
    const missing = names.find((name) => !(name in learningRates))
    if (missing) throw usage(`${from}: recipes.${recipe}.learningRates: write a rate for ${missing} too`)
  }
  if (!('default' in description.recipes)) throw usage(`${from}: recipes: one of them has to be named default`)
  return description
}

type Settings = Pick<Hyperparameters, 'latentSize' | 'noise' | 'spectralNorm' | 'packing' | 'averageDecay'>

/** The model for images of one shape, all sizes as numbers. Errors name the layer. */
export function specOf(description: ModelDescription, settings: Settings, image: ImageShape): ModelSpec {
  const { name, family, pixelRange } = description
  const { latentSize, noise, packing } = settings
  const pixels = image.height * image.width * image.channels
  const words: Record<string, number> = { ...image, pixels, latent: latentSize }
  const networks = description.networks.map((network): NetworkSpec => {
    const packed = network.name === 'discriminator' ? packing : 1
    const inputShape = network.input === 'latent' ? [latentSize] : [image.height, image.width, image.channels * packed]
    const where = `model ${name}, ${network.name}`
    const layers = network.layers.map((layer) =>
      exact(layer, words, `${where}/${layer.name}`, settings.spectralNorm && network.name === 'discriminator'),
    )
    const spec = { name: network.name, inputShape, inputSize: inputShape.reduce(product, 1), layers }
    outputShapes(spec, 0, where)
    return spec
  })
  const conditional =
    family === 'classifier' || networks.some(({ layers }) => layers.some(({ kind }) => kind === 'label'))
  const averages = family === 'gan' && settings.averageDecay > 0 ? ['generator'] : []
  const spec = { name, family, image, networks, latentSize, noise, pixelRange, packing, conditional, averages }
  for (const network of networks) checkEnds(spec, network, pixels)
  return spec
}

const product = (a: number, b: number): number => a * b

function exact(
  layer: ModelDescription['networks'][number]['layers'][number],
  words: Record<string, number>,
  where: string,
  spectralNorm: boolean,
): Layer {
  const number = (extent: Extent) => sizeOfExtent(extent, words, where)
  switch (layer.kind) {
    case 'dense': {
      const { shape, ...rest } = layer
      const units = number(layer.units)
      const exactLayer = { ...rest, units, spectralNorm: layer.spectralNorm || spectralNorm }
      if (!shape) return exactLayer
      const [height, width, channels] = shape.map(number)
      if ((height ?? 0) * (width ?? 0) * (channels ?? 0) !== units)
        throw usage(`${where}: ${units} units are no image of ${height} × ${width} × ${channels}; make them agree`)
      return { ...exactLayer, shape: [height ?? 1, width ?? 1, channels ?? 1] }
    }
    case 'coupling':
      return { ...layer, units: number(layer.units) }
    case 'conv2d':
    case 'conv2dTranspose':
      return { ...layer, filters: number(layer.filters), spectralNorm: layer.spectralNorm || spectralNorm }
    case 'maxPool':
    case 'layerNorm':
    case 'label':
      return layer
    default:
      return layer satisfies never
  }
}

function sizeOfExtent(extent: Extent, words: Record<string, number>, where: string): number {
  if (typeof extent === 'number') return extent
  const value = extent
    .split('*')
    .map((factor) => {
      const [base = '', divisor = '1'] = factor.split('/')
      return (words[base] ?? Number(base)) / Number(divisor)
    })
    .reduce(product, 1)
  if (Number.isSafeInteger(value) && value > 0) return value
  throw usage(`${where}: ${extent} is ${value} for these images; a size has to be a whole number`)
}

/** What comes out fits what it is for. */
function checkEnds(spec: ModelSpec, network: NetworkSpec, pixels: number): void {
  const where = `model ${spec.name}, ${network.name}`
  const shapes = outputShapes(network, labelClasses, where)
  const sizeOf = (layer: string | undefined) => shapes.get(layer ?? '')?.reduce(product, 1)
  const last = network.layers.at(-1)?.name
  const wants = (layer: string | undefined, size: number, what: string) => {
    if (sizeOf(layer) !== size)
      throw usage(`${where}/${layer}: gives ${sizeOf(layer) ?? 'no'} values; ${what} has ${size}`)
  }
  if (network.name === 'generator' || network.name === 'decoder') wants(last, pixels, 'an image')
  if (network.name === priorNetwork && spec.latentSize < 2)
    throw usage(`${where}: a coupling divides the latent vector; write --latent-size 2 or more`)
  if (network.name === 'classifier') wants(last, labelClasses, 'a row of logits')
  if (network.name === 'discriminator') wants(last, 1, 'a logit')
  if (network.name !== 'encoder') return
  wants('mean', spec.latentSize, 'the latent vector')
  wants('logVariance', spec.latentSize, 'the latent vector')
}
