import { usage } from '../core/errors.ts'
import { priorNetwork } from '../model/description.ts'
import type { Layer, NetworkSpec } from '../model/layers.ts'
import { parametersOf } from '../model/parameters.ts'
import { inputShapes, networkInput, outputShapes, type Shape } from '../model/shapes.ts'
import { labelClasses, type ModelSpec } from '../model/spec.ts'
import { partition, type Span } from './partition.ts'

/** A stage: neighbouring layers of encoder → z → decoder, or of generator → image → discriminator, which is not cut itself. */
export interface Stage {
  /** The model with the layers of this stage alone, which have the names and the parameters that they have in the whole. */
  readonly spec: ModelSpec
  /** Shape of a row of what comes in: a VAE's image, a GAN's noise, or the activation of the stage before. */
  readonly inputShape: Shape
  /** Floats of a row of the activation that goes to the next stage; null: this is the last. */
  readonly outputSize: number | null
  readonly first: boolean
  /** It makes μ, log σ² and z, and has the KL term of the loss. */
  readonly heads: boolean
}

/** Layers that stay together: one with parameters, or both heads, and those without parameters in front. */
interface Unit {
  readonly network: NetworkSpec
  readonly layers: readonly Layer[]
  readonly inputShape: Shape
  /** Multiplications of a row's way forward; of a GAN, those of a step. */
  readonly cost: number
}

/** Units, and what the work of a stage with them counts. */
interface Cut {
  readonly units: readonly Unit[]
  weight(stage: number, stages: number): number
  /** How many times a row's activation, or its gradient, goes over a cut in a step. */
  readonly crossings: number
}

const headNames: readonly string[] = ['mean', 'logVariance']

/** Part of a layer's work that is left where no gradient goes to its input: of two ways forward and one of two products back. */
const inputCost = 3 / 4

/** Multiplications that take as long as a float's way over a cut: 4 ns at 75 a nanosecond, on two cores of one host. */
const crossingCost = 300

/** Splits a model so that the stages take about equally long; `updates`: of a discriminator in a step. Errors: it has too few layers, or is no chain. */
export function splitStages(spec: ModelSpec, stages: number, updates = 1): Stage[] {
  const { units, weight, crossings } = spec.family === 'gan' ? cutGan(spec, updates) : cutVae(spec)
  if (stages > units.length)
    throw usage(
      `--pipeline-stages ${stages}: model ${spec.name} can be cut into ${units.length} stages at most; write that or less`,
    )
  const costs = units.map(({ cost }) => cost)
  const edge = (item: number) => crossingCost * crossings * sizeOf(units[item]?.inputShape ?? [])
  const spans = partition(costs, stages, (stage) => weight(stage, stages), edge)
  return spans.map((span, number) => stageOf(spec, units, span, number === stages - 1))
}

function stageOf(spec: ModelSpec, units: readonly Unit[], { first, last }: Span, isLast: boolean): Stage {
  const own = units.slice(first, last)
  const networks = spec.networks.flatMap((network): NetworkSpec[] => {
    const parts = own.filter((unit) => unit.network === network)
    const [begin] = parts
    if (!begin) return []
    if (begin.layers.length === network.layers.length) return [network]
    const layers = parts.flatMap((unit) => unit.layers)
    const names = new Set(layers.map(({ name }) => name))
    const inside = (layer: Layer) => layer.input === null || names.has(layer.input)
    return [
      {
        name: network.name,
        inputShape: [...begin.inputShape],
        inputSize: sizeOf(begin.inputShape),
        layers: layers.map((layer) => (inside(layer) ? layer : { ...layer, input: networkInput })),
      },
    ]
  })
  const next = units[last]
  return {
    spec: { ...spec, networks },
    inputShape: own[0]?.inputShape ?? [],
    outputSize: isLast || !next ? null : sizeOf(next.inputShape),
    first: first === 0,
    heads: own.some(({ layers }) => layers.some(({ name }) => headNames.includes(name))),
  }
}

/**
 * The layers of a VAE in the order in which an image goes through them. A backward pass takes twice a forward one, and a stage that is not
 * the last goes forward twice (worker/pipeline/stage-run.ts).
 */
function cutVae(spec: ModelSpec): Cut {
  const [encoder, decoder] = ['encoder', 'decoder'].map((name) =>
    spec.networks.find((network) => network.name === name),
  )
  if (spec.networks.some(({ name }) => name === priorNetwork))
    throw usage(`--pipeline-stages: model ${spec.name} has a prior, which no stage holds; leave it out`)
  if (!encoder || !decoder)
    throw usage(
      `--pipeline-stages splits the layers of a VAE or a GAN; model ${spec.name} is a ${spec.family}, so leave it out`,
    )
  const trunk = encoder.layers.slice(0, -2)
  const heads = encoder.layers.slice(-2)
  const [mean, logVariance] = heads
  const before = trunk.at(-1)?.name ?? null
  const branches = mean?.name === 'mean' && logVariance?.name === 'logVariance' && logVariance.input === before
  if (!branches || !isChain(trunk) || ![null, before].includes(mean.input) || !isChain(decoder.layers))
    throw usage(
      `--pipeline-stages: model ${spec.name} is no chain of layers that ends in mean and logVariance, and goes on behind them; leave it out`,
    )
  const units = [...unitsOf(encoder), ...unitsOf(decoder)]
  return {
    units: withoutInput(units, inputCost),
    weight: (stage, stages) => (stage === stages - 1 ? 3 : 4),
    crossings: 2,
  }
}

/**
 * The layers of a generator, and behind them the discriminator as one: its penalties are gradients of gradients, which do not go from stage to
 * stage. The generator goes forward for each update of the discriminator, and twice forward and once back for its own; the discriminator three
 * times that way for real and made images in each update.
 */
function cutGan(spec: ModelSpec, updates: number): Cut {
  const [generator, discriminator] = ['generator', 'discriminator'].map((name) =>
    spec.networks.find((network) => network.name === name),
  )
  if (!generator || !discriminator || !isChain(generator.layers))
    throw usage(`--pipeline-stages: the generator of model ${spec.name} is no chain of layers; leave it out`)
  const each = updates + 4
  const made = unitsOf(generator).map((unit) => ({ ...unit, cost: each * unit.cost }))
  const { height, width, channels } = spec.image
  const judging: Unit = {
    ...{ network: discriminator, layers: discriminator.layers, inputShape: [height * width * channels] },
    cost: (6 * updates + 2) * unitsOf(discriminator).reduce((sum, { cost }) => sum + cost, 0),
  }
  return { units: [...withoutInput(made, (each - 1) / each), judging], weight: () => 1, crossings: updates + 2 }
}

/** No gradient goes to what comes from outside. */
const withoutInput = (units: readonly Unit[], part: number): Unit[] =>
  units.map((unit, index) => (index === 0 ? { ...unit, cost: part * unit.cost } : unit))

function unitsOf(network: NetworkSpec): Unit[] {
  const shapes = new Map([...inputShapes(network, labelClasses)].map(([layer, shape]) => [layer.name, shape]))
  const outputs = outputShapes(network, labelClasses)
  const parameters = parametersOf(network)
  const has = ({ name }: Layer) => parameters.some((parameter) => parameter.name.startsWith(`${network.name}/${name}/`))
  const groups: Layer[][] = [[]]
  for (const layer of network.layers) {
    if (layer.name !== 'logVariance' && groups.at(-1)?.some(has)) groups.push([])
    groups.at(-1)?.push(layer)
  }
  const trailing = groups.length > 1 && !groups.at(-1)?.some(has) ? (groups.pop() ?? []) : []
  groups.at(-1)?.push(...trailing)
  return groups.map((layers) => ({
    ...{ network, layers, inputShape: shapes.get(layers[0]?.name ?? '') ?? [] },
    cost: layers.reduce((sum, layer) => sum + costOf(layer, network, outputs.get(layer.name) ?? []), 0),
  }))
}

/** A kernel is gone over once for a row, that of a convolution once for each place of the image that it is laid on. */
function costOf(layer: Layer, network: NetworkSpec, output: Shape): number {
  const kernel = parametersOf(network).find(({ name }) => name === `${network.name}/${layer.name}/kernel`)
  if (!kernel) return sizeOf(output)
  const [height = 1, width = 1] = output
  const places = layer.kind === 'conv2d' ? height * width : 1
  const turned = layer.kind === 'conv2dTranspose' ? (height * width) / layer.strides ** 2 : 1
  return sizeOf(kernel.shape) * places * turned
}

function isChain(layers: readonly Layer[]): boolean {
  return layers.every(({ input }, index) => input === null || input === layers[index - 1]?.name)
}

const sizeOf = (shape: Shape): number => shape.reduce((product, extent) => product * extent, 1)
