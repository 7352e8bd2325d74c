import { randomBytes } from 'node:crypto'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { checkedName, flagOf, type RunConfig, type RunOptions, resolveConfig, usage } from '../shared/core/config.ts'
import { makeSchedule } from '../shared/core/schedule.ts'
import type { ImageDataset } from '../shared/dataset/image-dataset.ts'
import { openDataset } from '../shared/dataset/open-dataset.ts'
import { specOf } from '../shared/model/description.ts'
import { splitStages } from '../shared/pipeline/stages.ts'
import { newestCheckpoint, type StoredCheckpoint } from './checkpoint/checkpoint-store.ts'
import { readJournal } from './journal/journal.ts'
import type { JournalRecord } from './journal/journal-record.ts'
import { type RunFile, RunFolder } from './run-folder.ts'

export interface RunRequest {
  readonly options: RunOptions
  readonly runDir: string | null
  readonly name: string | null
  readonly dataDir: string | null
  /** Folder of a run to go on with. */
  readonly resume: string | null
  /** A resumed run may get another learning rate, optimizer or loss. */
  readonly allowChanges: boolean
  /** True where the workers of the coordinator that crashed may be there still. */
  readonly takeOver: boolean
}

export interface PreparedRun {
  readonly runId: string
  readonly config: RunConfig
  readonly folder: RunFolder
  readonly dataset: ImageDataset
  readonly checkpoint: StoredCheckpoint | null
  /** What the coordinator before this one noted, where it crashed. */
  readonly takeover: readonly JournalRecord[] | null
}

/** Options that a resumed run may change; everything else belongs to its identity. */
const changeable = new Set<keyof RunOptions>([
  'epochs',
  'steps',
  'checkpointEvery',
  'checkpointDtype',
  'sampleEvery',
  'inspectEvery',
  'onInstability',
  'evaluateEvery',
  'evaluateSamples',
  'minWorkers',
  'maxWorkers',
  'maxGradientNorm',
  'maxSkips',
  'rollbackRate',
  'keepCheckpoints',
  'algorithm',
  'compression',
  'compressionRatio',
  'wire',
  'accumulate',
  'deal',
  'traceSteps',
  'tensorboard',
])

/** Options that it may change when told so: the weights go on, the way they are trained does not. */
const changeableWhenTold = new Set<keyof RunOptions>([
  ...(['learningRate', 'learningRates', 'optimizer', 'loss'] as const),
  ...(['prune', 'pruneBegin', 'pruneEnd'] as const),
])

/** Checks everything that can be wrong before a process starts, and lays out the run's folder. */
export function prepareRun(
  request: RunRequest,
  warn: (line: string) => void,
  open: OpenDataset = openDataset,
): PreparedRun {
  return request.resume === null ? newRun(request, open) : resumedRun(request, request.resume, warn, open)
}

type OpenDataset = typeof openDataset

function newRun({ options, runDir, name, dataDir }: RunRequest, open: OpenDataset): PreparedRun {
  const config = resolveConfig(options)
  const dataset = open(config.dataset, dataDir ?? undefined, config)
  checkModelFits(config, dataset)
  const runId =
    name ??
    `${config.model}-${config.dataset}-${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-')}-${randomBytes(2).toString('hex')}`
  checkedName('name', runId)
  const path = resolve(runDir ?? join('runs', runId))
  const { train, height, width, channels } = dataset
  const folder = RunFolder.create(path, {
    formatVersion: 1,
    runId,
    dataDir: dataDir === null ? null : resolve(dataDir),
    images: { count: train.count, height, width, channels },
    config,
  })
  return { runId, config, folder, dataset, checkpoint: null, takeover: null }
}

function resumedRun(
  { options, runDir, name, dataDir, takeOver, allowChanges }: RunRequest,
  resume: string,
  warn: (line: string) => void,
  open: OpenDataset,
): PreparedRun {
  if (runDir !== null || name !== null)
    throw usage('--resume goes on in the folder and under the name that the run has; leave out --run-dir and --name')
  const { folder, file } = RunFolder.open(resolve(resume))
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  for (const [key, value] of given) {
    const stored: unknown = file.config[key as keyof RunConfig]
    if (mayChange(key) || isDeepStrictEqual(value, stored)) continue
    if (!changeableWhenTold.has(key as keyof RunOptions))
      throw usage(`${flagOf(key)} cannot change when a run is resumed; leave it out, or start a new run`)
    if (!allowChanges)
      throw usage(`${flagOf(key)} differs from what this run was started with; leave it out, or add --allow-changes`)
    folder.event('changed', { option: key, from: stored ?? file.config.learningRates, to: value })
  }
  const changes = Object.fromEntries(
    given.filter(([key]) => mayChange(key) || changeableWhenTold.has(key as keyof RunOptions)),
  )
  const kept: RunOptions = { ...file.config, ...changes }
  if (changes.accumulate !== undefined && changes.deal === undefined && kept.deal === 'speed') delete kept.deal
  if (changes.compression !== undefined && changes.compressionRatio === undefined) kept.compressionRatio = null
  if (changes.steps !== undefined) kept.epochs = null
  if (changes.epochs !== undefined) kept.steps = null
  const resolved = resolveConfig(withoutNulls(kept))
  const config =
    changes.learningRate === undefined
      ? { ...resolved, learningRates: { ...file.config.learningRates, ...options.learningRates } }
      : resolved
  const checkpoint = newestCheckpoint(folder.checkpoints, warn)
  const takeover = takeOver ? readJournal(folder.journal) : null
  const load = () => open(config.dataset, dataDir ?? file.dataDir ?? undefined, config)
  const dataset = takeover ? loadedWhenNeeded(config.dataset, file.images, load) : load()
  const { totalSteps } = makeSchedule(config, dataset.train.count)
  const step = takeover ? lastStep(takeover) : (checkpoint?.manifest.step ?? 0)
  if (!takeover && step >= totalSteps)
    throw usage(`the run is at step ${step} of ${totalSteps} already; write a larger --steps or --epochs to train on`)
  folder.truncateMetrics(step)
  folder.configure(config)
  return { runId: file.runId, config, folder, dataset, checkpoint, takeover }
}

/** Sizes fit the images, and a model that reads labels has some. */
function checkModelFits(config: RunConfig, dataset: ImageDataset): void {
  const spec = specOf(config.description, config, dataset)
  const { name, conditional } = spec
  if (config.pipelineStages > 1) splitStages(spec, config.pipelineStages, config.discriminatorUpdates)
  if (conditional && dataset.train.labels.length === 0)
    throw usage(`--dataset ${dataset.name} has no labels, which model ${name} reads; write a --model without them`)
}

const mayChange = (key: string): boolean => changeable.has(key as keyof RunOptions)

/** Members of a group that is taken over have their data; the cores are theirs meanwhile. */
function loadedWhenNeeded(
  name: string,
  { count, ...shape }: RunFile['images'],
  load: () => ImageDataset,
): ImageDataset {
  let loaded: ImageDataset | null = null
  const all = () => {
    loaded ??= load()
    return loaded
  }
  const train = {
    count,
    get images() {
      return all().train.images
    },
    get labels() {
      return all().train.labels
    },
  }
  return {
    ...{ name, ...shape, train },
    get test() {
      return all().test
    },
  }
}

function lastStep(records: readonly JournalRecord[]): number {
  return records.reduce((step, record) => {
    if (record.kind === 'committed') return Math.max(step, record.step.step)
    if (record.kind === 'snapshot') return record.ledger.step
    return record.kind === 'rewound' ? record.step : step
  }, 0)
}

function withoutNulls(options: RunOptions): RunOptions {
  const entries = Object.entries(options).filter(([key, value]) => value !== null && key !== 'learningRates')
  return Object.fromEntries(entries) as RunOptions
}
