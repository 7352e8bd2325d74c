import type { Options } from 'yargs'
import type { RunRequest } from '../coordinator/prepare-run.ts'
import { type RunOptions, usage } from '../shared/core/config.ts'
import { limits } from '../shared/core/limits.ts'
import { datasetNames } from '../shared/dataset/open-dataset.ts'
import { registry } from '../shared/model/registry.ts'
import { modelFlags, modelOptions } from './model-flags.ts'
import { wholeNumber } from './values.ts'

/** Run options, the same for `train` and `coordinator`. Their defaults follow from the model and its recipe. */
export const runFlags = {
  model: {
    type: 'string',
    describe: `model to train: ${Object.keys(registry).join(', ')}, or a file such as ./my-model.js (default: vae)`,
    group: 'Run:',
  },
  dataset: {
    type: 'string',
    describe: `name of the data set: ${datasetNames.join(', ')}, or of IDX files in --data-dir (default: mnist)`,
    group: 'Run:',
  },
  'data-dir': {
    type: 'string',
    describe: 'folder with four IDX files, plain or .gz, with images, or with WAV files',
    group: 'Run:',
  },
  'image-size': {
    type: 'number',
    describe: 'height and width of --dataset images (default: 32), or of the spectrograms of audio (128)',
    group: 'Run:',
  },
  flip: {
    type: 'boolean',
    describe: 'mirror half of the training images, drawn anew each epoch (default: false)',
    group: 'Run:',
  },
  epochs: { type: 'number', describe: 'passes over the data set', group: 'Run:' },
  steps: { type: 'number', describe: 'committed steps, instead of --epochs', group: 'Run:' },
  'batch-size': { type: 'number', describe: 'images of one batch over all workers (default: 128)', group: 'Run:' },
  accumulate: {
    type: 'number',
    describe:
      'micro-batches in which a worker, or a pipeline, computes its part of a batch (default: 1; of a pipeline 4 for each stage)',
    group: 'Run:',
  },
  'pipeline-stages': {
    type: 'number',
    describe: 'stages that the layers of a VAE or a GAN are split into, each with a worker of its own (default: 1)',
    group: 'Run:',
  },
  seed: { type: 'number', describe: 'seed of weights, order and noise (default: 1)', group: 'Run:' },
  lanes: { type: 'number', describe: 'slices of the global batch, a power of two (default: 8)', group: 'Run:' },
  deal: {
    type: 'string',
    describe: 'lanes of each worker: even, or by its measured speed (default: speed; even with micro-batches)',
    group: 'Run:',
  },
  reproducible: {
    type: 'boolean',
    describe: 'the same weights, bit for bit, for any number of workers (default: false)',
    group: 'Run:',
  },
  algorithm: {
    type: 'string',
    describe: 'all-reduce: auto, direct, ring, tree, hierarchical or star (default: auto)',
    group: 'Run:',
  },
  compression: {
    type: 'string',
    describe: 'gradients on the wire: none, bf16, fp16, int8 or topk (default: none)',
    group: 'Run:',
  },
  'compression-ratio': {
    type: 'number',
    describe: 'with --compression topk: part of the gradients that is sent (default: 0.01)',
    group: 'Run:',
  },
  math: { type: 'string', describe: 'products of matrices: fp32 or bf16 (default: fp32)', group: 'Run:' },
  wire: {
    type: 'string',
    describe: 'gradients between workers of one host: auto, shm (and tell where not) or tcp (default: auto)',
    group: 'Run:',
  },
  optimizer: { type: 'string', describe: 'adam, rmsprop or sgd (default: adam)', group: 'Run:' },
  'learning-rate': { type: 'number', describe: "rate of every network, instead of the recipe's", group: 'Run:' },
  'max-gradient-norm': {
    type: 'number',
    describe: 'skip a step whose gradient has a larger norm (default: 1e6)',
    group: 'Run:',
  },
  'max-skips': {
    type: 'number',
    describe: 'skipped steps in a row that send the run back to a checkpoint; 0: never (default: 10)',
    group: 'Run:',
  },
  'rollback-rate': {
    type: 'number',
    describe: 'factor on the learning rates at each roll-back (default: 0.5)',
    group: 'Run:',
  },
  'checkpoint-every': { type: 'number', describe: 'steps between checkpoints (default: each epoch)', group: 'Run:' },
  'keep-checkpoints': {
    type: 'number',
    describe: 'newest checkpoints to keep, besides the best (default: 3)',
    group: 'Run:',
  },
  'checkpoint-dtype': {
    type: 'string',
    describe: 'numbers in checkpoints: fp32, or bf16, half the size, from which a run goes on rounded (default: fp32)',
    group: 'Run:',
  },
  'sample-every': { type: 'number', describe: 'steps between sample grids (default: each epoch)', group: 'Run:' },
  tensorboard: {
    type: 'boolean',
    describe: 'write event files for TensorBoard in the run folder (default: false)',
    group: 'Run:',
  },
  trace: {
    type: 'boolean',
    describe: 'write trace.json, a timeline of all workers for Perfetto (default: false)',
    group: 'Run:',
  },
  'trace-steps': {
    type: 'number',
    describe: 'with --trace: steps after each change of membership that are shown in detail (default: 100)',
    group: 'Run:',
  },
  'inspect-every': {
    type: 'number',
    describe:
      'steps between looks at how stable the training is; 0: none (default: 8 in an epoch of a GAN, 2 of a VAE)',
    group: 'Run:',
  },
  'on-instability': {
    type: 'string',
    describe: 'what an alarm about that leads to: warn, lower-lr, rollback or stop (default: warn)',
    group: 'Run:',
  },
  'evaluate-every': {
    type: 'number',
    describe: 'steps between evaluations, beside the training at low priority; 0: none (default: 0)',
    group: 'Run:',
  },
  'evaluate-samples': {
    type: 'number',
    describe: 'images that an evaluation generates (default: 10000)',
    group: 'Run:',
  },
  'run-dir': { type: 'string', describe: "the run's folder (default: runs/RUN_ID)", group: 'Run:' },
  resume: { type: 'string', describe: 'folder of a run to go on with', group: 'Run:' },
  'allow-changes': {
    type: 'boolean',
    describe: 'with --resume: take a new --learning-rate, --optimizer, --loss or --prune',
    default: false,
    group: 'Run:',
  },
  name: { type: 'string', describe: 'run id, instead of a made-up one', group: 'Run:' },
  config: { type: 'string', describe: 'YAML or JSON file with any of these options; flags win', group: 'Run:' },
  ...modelFlags,
} as const satisfies Record<string, Options>

export const httpFlag = {
  type: 'string',
  describe: 'address for the page, /metrics and /api/status',
  default: '127.0.0.1:9464',
} as const satisfies Options
export const jsonFlag = {
  type: 'boolean',
  describe: 'print one JSON object on stdout at the end',
  default: false,
} as const satisfies Options

export const faultTimeoutFlag = {
  type: 'number',
  describe: 'seconds after which a silent or stalled worker is expelled',
  default: 3,
} as const satisfies Options

export const tokenFileFlag = {
  type: 'string',
  describe: 'file with the token that actions need, made where it is missing (default: token in the run folder)',
} as const satisfies Options

/** Null: none is given. */
export function tokenFile({ tokenFile: file }: Parsed): string | null {
  if (file === undefined) return null
  if (file === '') throw usage('--token-file: write the path of a file')
  return String(file)
}

/** Milliseconds. */
export function faultTimeout(parsed: Parsed): number {
  const seconds = Number(parsed.faultTimeout)
  if (seconds >= 1 && seconds <= 3600) return seconds * 1000
  throw usage(`--fault-timeout ${seconds}: write seconds from 1 to 3600`)
}

type Parsed = Readonly<Record<string, unknown>>

function traceSteps({ trace, traceSteps }: Parsed): number | undefined {
  if (trace === true)
    return traceSteps === undefined ? 100 : wholeNumber('trace-steps', traceSteps, 1, limits.traceSteps)
  if (traceSteps !== undefined) throw usage(`--trace-steps ${String(traceSteps)} goes with --trace; write that too`)
  return trace === false ? 0 : undefined
}

/** `takeOver`: on a resume, workers of the coordinator that crashed may be there still. */
export function runRequest(
  parsed: Parsed,
  takeOver: boolean,
  more: Pick<RunOptions, 'minWorkers' | 'maxWorkers' | 'threads'>,
): RunRequest {
  const options: Record<string, unknown> = {
    ...modelOptions(parsed),
    model: parsed.model,
    description: parsed.description,
    dataset: parsed.dataset,
    imageSize: parsed.imageSize,
    flip: parsed.flip,
    epochs: parsed.epochs,
    steps: parsed.steps,
    batchSize: parsed.batchSize,
    accumulate: parsed.accumulate,
    pipelineStages: parsed.pipelineStages,
    seed: parsed.seed,
    lanes: parsed.lanes,
    deal: parsed.deal,
    reproducible: parsed.reproducible,
    algorithm: parsed.algorithm,
    compression: parsed.compression,
    compressionRatio: parsed.compressionRatio,
    wire: parsed.wire,
    math: parsed.math,
    optimizer: parsed.optimizer,
    learningRate: parsed.learningRate,
    maxGradientNorm: parsed.maxGradientNorm,
    maxSkips: parsed.maxSkips,
    rollbackRate: parsed.rollbackRate,
    keepCheckpoints: parsed.keepCheckpoints,
    checkpointEvery: parsed.checkpointEvery,
    checkpointDtype: parsed.checkpointDtype,
    sampleEvery: parsed.sampleEvery,
    tensorboard: parsed.tensorboard,
    traceSteps: traceSteps(parsed),
    inspectEvery: parsed.inspectEvery,
    onInstability: parsed.onInstability,
    evaluateEvery: parsed.evaluateEvery,
    evaluateSamples: parsed.evaluateSamples,
    ...more,
  }
  const text = (key: string) => (typeof parsed[key] === 'string' ? parsed[key] : null)
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  return {
    options: given,
    runDir: text('runDir'),
    name: text('name'),
    dataDir: text('dataDir'),
    resume: text('resume'),
    allowChanges: parsed.allowChanges === true,
    takeOver,
  }
}
