import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { CheckpointWriter, newestCheckpoint, readCheckpoint } from '../../coordinator/checkpoint/checkpoint-store.ts'
import { pruneRun } from '../../coordinator/checkpoint/prune-run.ts'
import { nothing } from '../../coordinator/goodput/parts.ts'
import { prepareRun } from '../../coordinator/prepare-run.ts'
import { RunFolder } from '../../coordinator/run-folder.ts'
import { type RunOptions, resolveConfig } from '../../shared/core/config.ts'
import { specOf } from '../../shared/model/description.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { generateFromCheckpoint } from '../../worker/generate.ts'
import { encodeCheckpoint, restoreCheckpoint, weightsSha256 } from '../../worker/step/checkpoint-files.ts'
import { temporaryFolder } from '../support/folder.ts'
import { denseGan } from '../support/models.ts'
import { alone, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const source = tinySource(70, 16)
const image = { height: 4, width: 4, channels: 1 }
let backend: Backend

beforeAll(async () => {
  backend = await openBackend('auto', 1)
})

/** A run of two steps. `dead`: units of the first hidden layer of a network whose way out is zero. */
async function runOf(options: RunOptions, network: string, dead: readonly number[]) {
  const { config, state, trainer } = makeTrainer(backend, { steps: 10, ...options }, source)
  for (let step = 0; step < 2; step++) await trainer.step(step, alone, noVotes)
  const kernels = [...state.slots, ...state.averages].filter(
    ({ name }) => name.startsWith(network) && name.endsWith('kernel'),
  )
  for (const { name, shape, weights } of kernels)
    if (name.includes('/dense1/'))
      for (const unit of dead) weights.fill(0, unit * (shape[1] ?? 0), (unit + 1) * (shape[1] ?? 0))
  const path = join(temporaryFolder(), 'run')
  const about = { formatVersion: 1 as const, runId: 'run', dataDir: null, images: { count: 70, ...image } }
  const folder = RunFolder.create(path, { ...about, config })
  const files = encodeCheckpoint(state)
  const writer = new CheckpointWriter(folder.checkpoints, 2, [
    { name: 'weights.safetensors', bytes: files.weights.byteLength },
    { name: 'optimizer.safetensors', bytes: files.optimizer.byteLength },
  ])
  writer.write('weights.safetensors', 0, files.weights)
  writer.write('optimizer.safetensors', 0, files.optimizer)
  writer.finish({
    ...{
      formatVersion: 1,
      runId: 'run',
      model: specOf(config.description, config, image),
      image,
      config,
      step: 2,
      epoch: 0,
    },
    ...{
      seed: 1,
      ledger: { finishedEpochs: [] },
      elapsed: { wallSeconds: 0, steppingSeconds: 0, images: 0, goodput: nothing },
    },
    ...{ optimizerSteps: files.optimizerSteps, weightsSha256: weightsSha256(state), score: null },
  })
  return path
}

function images(checkpoint: string) {
  const { manifest, weights } = readCheckpoint(checkpoint)
  const request = { config: manifest.config, image, weights, picture: { kind: 'samples' } as const, count: 20, seed: 1 }
  return generateFromCheckpoint({ ...request, label: null, backend: 'auto', device: null, threads: 1 })
}

describe.each([
  ['vae', { model: 'vae' }, 'decoder', 128],
  [
    'gan with averages and spectral norms',
    { description: denseGan, averageDecay: 0.5, spectralNorm: true },
    'generator',
    12,
  ],
] as [string, RunOptions, string, number][])('%s', (_name, options, network, units) => {
  const dead = Array.from({ length: units / 4 }, (_, index) => 3 * index + 1)

  it('makes the same images without the units that do nothing, from smaller tensors', async () => {
    const run = await runOf(options, network, dead)
    const out = join(temporaryFolder(), 'smaller')
    const { folder, parameters } = pruneRun(run, out, { [`${network}/dense0`]: 0.25 })
    expect(parameters.after).toBeLessThan(parameters.before)
    const { manifest } = readCheckpoint(folder)
    const layer = manifest.model.networks.find(({ name }) => name === network)?.layers[0]
    expect(layer).toMatchObject({ name: 'dense0', units: (units * 3) / 4 })
    const [before, after] = [await images(join(run, 'checkpoints/step-00000002')), await images(folder)]
    expect(new Set(before).size).toBeGreaterThan(20)
    for (const [at, value] of after.entries()) expect(value).toBeCloseTo(before[at] ?? Number.NaN, 5)
  })

  it('trains on, from a run as any other', async () => {
    const out = join(temporaryFolder(), 'smaller')
    pruneRun(join(await runOf(options, network, []), 'checkpoints/step-00000002'), out, { all: 0.5 })
    const dataset = {
      name: 'mnist',
      ...image,
      train: { count: 70, images: new Uint8Array(0), labels: new Uint8Array(70) },
    }
    const request = {
      options: {},
      runDir: null,
      name: null,
      dataDir: null,
      resume: out,
      allowChanges: false,
      takeOver: false,
    }
    const { checkpoint, config } = prepareRun(
      request,
      () => {},
      () => ({ ...dataset, test: dataset.train }),
    )
    const { state, trainer } = makeTrainer(backend, { ...config, epochs: null } as RunOptions, source)
    restoreCheckpoint(
      state,
      checkpoint?.weights ?? new Uint8Array(0),
      checkpoint?.optimizer ?? null,
      checkpoint?.manifest.optimizerSteps ?? {},
    )
    expect(weightsSha256(state)).toBe(checkpoint?.manifest.weightsSha256)
    trainer.refresh()
    const { committed } = await trainer.step(2, alone, noVotes)
    expect(committed.skipped).toBe(false)
    expect(newestCheckpoint(join(out, 'checkpoints'), () => {})?.manifest.step).toBe(2)
  })
})

it('a run that cannot be cut is refused in words', async () => {
  const run = await runOf({ model: 'vae' }, 'decoder', [])
  const out = join(temporaryFolder(), 'smaller')
  expect(() => pruneRun(run, out, { critic: 0.5 })).toThrow(/--units critic: model vae has no such network or layer/)
  expect(() => pruneRun(run, out, { all: 0 })).toThrow(/no unit of a hidden dense layer would go/)
  expect(() => pruneRun(temporaryFolder(), out, { all: 0.5 })).toThrow(
    /there is no config.json; write the folder of a run/,
  )
  pruneRun(run, out, { all: 0.5 })
  expect(() => pruneRun(run, out, { all: 0.5 })).toThrow(/holds a run already/)
  const empty = join(temporaryFolder(), 'empty')
  mkdirSync(empty)
  const about = { formatVersion: 1 as const, runId: 'empty', dataDir: null, images: { count: 70, ...image } }
  RunFolder.create(empty, { ...about, config: resolveConfig({ model: 'vae' }) })
  expect(() => pruneRun(empty, join(temporaryFolder(), 'x'), { all: 0.5 })).toThrow(
    /has no checkpoint; write a run that has/,
  )
})
