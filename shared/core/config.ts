import { z } from 'zod'
import { type ModelDescription, modelDescriptionSchema } from '../model/description.ts'
import { defaultHyperparameters, hyperparameterShape, type Recipe } from '../model/hyperparameters.ts'
import { checkModelOptions } from '../model/model-options.ts'
import { registry } from '../model/registry.ts'
import { completeCompression, compressionNames } from './compression-options.ts'
import { usage } from './errors.ts'
import { checkAccumulation, checkDeal, mayDeal } from './lane-options.ts'
import { limits } from './limits.ts'
import { checkPipeline, usualMicroBatches } from './pipeline-options.ts'
import { checkPruning, pruneSchema } from './prune-options.ts'

const positive = z.number().positive()
const count = z.number().int().positive()

export const algorithmChoices = ['auto', 'direct', 'ring', 'tree', 'hierarchical', 'star'] as const
/** They add in an order that depends on the number of workers, or on their hosts. */
const unordered: readonly string[] = ['ring', 'tree', 'hierarchical']

export const instabilityActions = ['warn', 'lower-lr', 'rollback', 'stop'] as const

/** One run's configuration: complete, validated, stored as config.json and sent to every worker. */
export const runConfigSchema = z.strictObject({
  /** Name of the model. */
  model: z.string(),
  /** The model itself, as data: workers and checkpoints need no file. */
  description: modelDescriptionSchema,
  dataset: z.string().min(1),
  /** Height and width of the images, or spectrograms, of a folder; null for other data sets. */
  imageSize: count.min(4).max(limits.maxImageSize).nullable().default(null),
  /** Mirrors half of the training images, by (seed, epoch, sample). */
  flip: z.boolean().default(false),
  /** Passes over the data set; null where `steps` bounds the run. */
  epochs: count.nullable(),
  /** Committed steps; null where `epochs` bounds the run. */
  steps: count.nullable(),
  /** Images of one batch over all ranks. */
  batchSize: count.max(limits.maxBatchSize),
  /** Micro-batches in which a rank computes its part of a batch, one after the other, to need less memory. */
  accumulate: count.max(limits.maxLanes).default(1),
  /** Stages that the layers are split into, one worker each (docs/pipeline.md); 1: every worker holds the whole model. */
  pipelineStages: count.max(limits.maxStages).default(1),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  lanes: count.max(limits.maxLanes),
  /** Lanes of each worker: as many for each, or by how fast they compute (docs/adr/0031-lanes-by-speed.md). */
  deal: z.enum(['even', 'speed']).default('even'),
  /** How gradients are added up over the ranks; `auto` picks by size, hosts and links (algorithm.ts). */
  algorithm: z.enum(algorithmChoices).default('auto'),
  /** What gradients are sent as (shared/compression); losses, votes and checksums always travel as they are. */
  compression: z.enum(compressionNames).default('none'),
  /** Part of the elements that top-k sends; null for every other compression. */
  compressionRatio: z.number().positive().max(0.5).nullable().default(null),
  /** `auto`: shared memory between workers of one host, else TCP (transport.ts). */
  wire: z.enum(['auto', 'shm', 'tcp']).default('auto'),
  /** The same bits for any number of workers: every lane's gradient is computed alone and added in a fixed tree. */
  reproducible: z.boolean(),
  /** Threads of each worker, which are part of a reproducible run's identity; null in any other. */
  threads: count.max(256).nullable(),
  /** Backend and version that a reproducible run is bound to; set by its first worker. */
  backend: z.string().nullable(),
  /** Products of matrices: float32, or bfloat16 with sums in float32. Everything else is float32. */
  math: z.enum(['fp32', 'bf16']).default('fp32'),
  ...hyperparameterShape,
  recipe: z.string(),
  /** Part of the weights of kernels that is zero at last, by network or network/layer (docs/pruning.md). */
  prune: pruneSchema.default({}),
  /** Parts of the run's steps at which pruning begins and is done. */
  pruneBegin: z.number().min(0).lt(1).default(0.1),
  pruneEnd: z.number().min(0).max(1).default(0.7),
  /** Numbers that checkpoints are stored in; bfloat16 takes half the room, and what is resumed is rounded. */
  checkpointDtype: z.enum(['fp32', 'bf16']).default('fp32'),
  /** A step whose reduced gradient is not finite, or has a larger Euclidean norm, is skipped. */
  maxGradientNorm: positive,
  /** So many skipped steps in a row send the run back to a checkpoint, with lower rates; 0: never. */
  maxSkips: z.number().int().min(0),
  /** Factor on all learning rates at each roll-back. */
  rollbackRate: positive.max(1),
  /** Times that the rates were lowered so far, by a roll-back or without; set by the run. */
  rollbacks: z.number().int().min(0),
  /** Newest checkpoints that are kept, besides the best. */
  keepCheckpoints: count.max(1000),
  /** Steps between checkpoints, samples; 0: only at the end. */
  checkpointEvery: z.number().int().min(0),
  sampleEvery: z.number().int().min(0),
  /** Steps of each generation that trace.json shows in detail; 0: no trace. */
  /** Event files for TensorBoard are written. */
  tensorboard: z.boolean().default(false),
  traceSteps: z.number().int().min(0).max(limits.traceSteps).default(0),
  /** Steps between looks at what the model makes; 0: none, null: so many in an epoch as fit the model. */
  inspectEvery: z.number().int().min(0).nullable().default(null),
  /** What an alarm about the training itself leads to (docs/stability.md). */
  onInstability: z.enum(instabilityActions).default('warn'),
  /** Steps between evaluations, each with a checkpoint; 0: none. */
  evaluateEvery: z.number().int().min(0).default(0),
  /** Images that an evaluation generates. */
  evaluateSamples: count.min(limits.minEvaluationSamples).max(limits.maxEvaluationSamples).default(10_000),
  minWorkers: count.max(limits.maxWorkers),
  maxWorkers: count.max(limits.maxWorkers),
})

export type RunConfig = z.infer<typeof runConfigSchema>

/** What a user may give; everything else follows from the model and its recipe. `learningRate`: of every network. */
export type RunOptions = Partial<RunConfig> & { learningRate?: number }

const shared = {
  dataset: 'mnist',
  imageSize: null,
  flip: false,
  epochs: null,
  steps: null,
  batchSize: 128,
  accumulate: 1,
  pipelineStages: 1,
  seed: 1,
  lanes: 8,
  deal: 'speed',
  algorithm: 'auto',
  compression: 'none',
  compressionRatio: null,
  wire: 'auto',
  reproducible: false,
  threads: null,
  backend: null,
  math: 'fp32',
  prune: {},
  pruneBegin: 0.1,
  pruneEnd: 0.7,
  checkpointDtype: 'fp32',
  maxGradientNorm: 1e6,
  maxSkips: 10,
  rollbackRate: 0.5,
  rollbacks: 0,
  keepCheckpoints: 3,
  checkpointEvery: 0,
  sampleEvery: 0,
  tensorboard: false,
  traceSteps: 0,
  inspectEvery: null,
  onInstability: 'warn',
  evaluateEvery: 0,
  evaluateSamples: 10_000,
  minWorkers: 1,
  maxWorkers: 8,
} as const

/** As a file has it. An older version knew fewer options, and did what they do by default. */
export const storedConfigSchema = z.preprocess(
  (value) => (value instanceof Object ? { ...shared, ...defaultHyperparameters, ...value } : value),
  runConfigSchema,
)

/** Completes and checks a user's options. Errors say what to write instead, and exit with 2. */
export function resolveConfig(options: RunOptions): RunConfig {
  const description = options.description ?? modelOf(options.model ?? 'vae')
  const preset = recipeOf(description, options)
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const { learningRate, ...rest } = given as RunOptions
  if (rest.steps != null && rest.epochs != null)
    throw usage('--epochs and --steps exclude each other; write one of them')
  if (rest.steps != null) rest.epochs = null
  const merged: Record<string, unknown> = {
    ...shared,
    ...defaultHyperparameters,
    ...preset.recipe,
    ...rest,
    model: description.name,
    description,
    recipe: preset.name,
  }
  merged.learningRates = ratesOf(preset.recipe.learningRates, rest.learningRates, learningRate)
  if (rest.r1 === 0 && rest.r1Every === undefined) merged.r1Every = 1 // a recipe may have had more to say about it
  if (rest.accumulate === undefined) merged.accumulate = usualMicroBatches(merged, rest.lanes)
  if (rest.lanes === undefined && typeof merged.maxWorkers === 'number') {
    const each = merged.reproducible === true ? 1 : Number(merged.accumulate) / Number(merged.pipelineStages)
    const enough = 2 ** Math.ceil(Math.log2(Math.max(1, merged.maxWorkers * each)))
    merged.lanes = Math.min(limits.maxLanes, Math.max(8, enough))
  }
  if (rest.deal === undefined && !mayDeal(merged as Partial<RunConfig>)) merged.deal = 'even'
  const config = parseConfig(merged)
  completeImageSize(config)
  checkModelOptions(config)
  checkPruning(config)
  checkPipeline(config)
  if (config.reproducible) config.threads ??= 1
  if (config.reproducible && unordered.includes(config.algorithm)) {
    throw usage(
      `--algorithm ${config.algorithm} adds in an order that depends on the number of workers; with --reproducible write --algorithm auto`,
    )
  }
  if (config.reproducible && config.onInstability === 'lower-lr')
    throw usage(
      '--on-instability lower-lr acts when a message arrives; with --reproducible write --on-instability warn, rollback or stop',
    )
  if (config.algorithm === 'hierarchical' && config.wire === 'tcp')
    throw usage('--algorithm hierarchical finds hosts by their shared memory; with it write --wire auto')
  completeCompression(config)
  if (!Number.isInteger(Math.log2(config.lanes)))
    throw usage(`--lanes ${config.lanes}: write a power of two, such as 8`)
  if (config.maxWorkers > config.lanes) {
    throw usage(
      `--max-workers ${config.maxWorkers} needs at least as many lanes; write --lanes ${2 ** Math.ceil(Math.log2(config.maxWorkers))}`,
    )
  }
  if (config.minWorkers > config.maxWorkers)
    throw usage(`--min-workers ${config.minWorkers} is above --max-workers ${config.maxWorkers}`)
  if (config.batchSize < config.maxWorkers)
    throw usage(`--batch-size ${config.batchSize} is below the number of workers; write at least ${config.maxWorkers}`)
  checkAccumulation(config)
  checkDeal(config)
  return config
}

/** Images of a folder have any size, spectrograms one that a window of a power of two gives. */
function completeImageSize(config: RunConfig): void {
  if (config.dataset === 'images') config.imageSize ??= 32
  else if (config.dataset === 'audio') config.imageSize ??= 128
  else if (config.imageSize !== null)
    throw usage(
      `--image-size is for --dataset images and audio; ${config.dataset} has a size of its own, so leave it out`,
    )
  if (config.dataset === 'audio' && ![16, 32, 64, 128, 256].includes(config.imageSize ?? 0))
    throw usage(`--image-size ${config.imageSize}: for --dataset audio write 16, 32, 64, 128 or 256`)
}

function modelOf(name: string): ModelDescription {
  const description = registry[name]
  if (description) return description
  const names = Object.keys(registry).join(', ')
  throw usage(`--model ${name} is unknown; write one of ${names}, or a file such as ./my-model.js`)
}

/** The recipe of that name; without a name that of the loss, where it has one. */
function recipeOf(
  { recipes }: ModelDescription,
  { recipe: name, loss }: RunOptions,
): { readonly name: string; readonly recipe: Recipe } {
  const chosen = name ?? (loss !== undefined && loss in recipes ? loss : 'default')
  const recipe = recipes[chosen]
  if (recipe) return { name: chosen, recipe }
  throw usage(`--recipe ${chosen} is unknown for this model; write one of ${Object.keys(recipes).join(', ')}`)
}

function ratesOf(
  recipe: Readonly<Record<string, number>>,
  given: Readonly<Record<string, number>> = {},
  all: number | undefined,
): Record<string, number> {
  const names = Object.keys(recipe)
  const unknown = Object.keys(given).find((name) => !names.includes(name))
  if (unknown !== undefined)
    throw usage(`--learning-rates ${unknown}: this model has no such network; write rates for ${names.join(', ')}`)
  const rates = all === undefined ? recipe : Object.fromEntries(names.map((name) => [name, all]))
  return { ...rates, ...given }
}

export { usage } from './errors.ts'

export function parseConfig(value: unknown): RunConfig {
  const result = runConfigSchema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const path = issue?.path.map(String) ?? []
  const key = path[0] ?? 'config'
  const flag = flagOf(key === 'learningRates' ? 'learningRate' : key)
  const given = path.reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], value)
  throw usage(`${flag} ${String(given)}: write ${issue ? wanted(issue) : 'something else'}`)
}

/** Names of runs and workers become folders, labels and socket ids. */
export function checkedName(flag: string, name: string): string {
  if (/^[\w.-]{1,64}$/.test(name)) return name
  throw usage(`--${flag} ${name}: write letters, digits, dots, dashes and underscores, 64 at most`)
}

/** --batch-size for batchSize. */
export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

function wanted(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'too_small':
      return issue.inclusive ? `${issue.minimum} or more` : `a number above ${issue.minimum}`
    case 'too_big':
      return issue.inclusive ? `${issue.maximum} or less` : `a number below ${issue.maximum}`
    case 'invalid_value':
      return `one of ${issue.values.map(String).join(', ')}`
    case 'invalid_type':
      return issue.expected === 'int' ? 'a whole number' : `a ${issue.expected}`
    case 'unrecognized_keys':
      return `nothing of the name ${issue.keys.join(', ')}`
    default:
      return issue.message
  }
}
