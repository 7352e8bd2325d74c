import { beforeAll, describe, expect, it } from 'vitest'
import type { RunOptions } from '../../shared/core/config.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { weightsSha256 } from '../../worker/step/checkpoint-files.ts'
import type { ModelState } from '../../worker/step/model-state.ts'
import { makePipelines } from '../support/pipelines.ts'
import { alone, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const source = tinySource(100, 16) // the last of four batches has four images
const steps = 5
let backend: Backend

beforeAll(async () => {
  backend = await openBackend('auto', 1)
})

/** Of a group, after some steps, the state of the first pipeline's stages together. */
async function trained(options: RunOptions & { pipelineStages: number; maxWorkers: number }) {
  const { ranks } = makePipelines(backend, options, source)
  const committed = []
  for (let step = 0; step < steps; step++) {
    const results = await Promise.all(ranks.map(({ trainer, group }) => trainer.step(step, group, noVotes)))
    committed.push(...results.slice(0, 1).map((result) => result.committed))
  }
  const states = ranks.slice(0, options.pipelineStages).map(({ state }) => state)
  return { ranks, committed, whole: wholeOf(states) }
}

function wholeOf(states: readonly ModelState[]) {
  return {
    slots: states.flatMap(({ slots }) => slots),
    averages: states.flatMap(({ averages }) => averages),
    networks: new Map(states.flatMap(({ networks }) => [...networks])),
  }
}

async function plainlyTrained(options: RunOptions) {
  const { state, trainer } = makeTrainer(backend, options, source)
  const committed = []
  for (let step = 0; step < steps; step++) committed.push((await trainer.step(step, alone, noVotes)).committed)
  return { state, trainer, committed }
}

describe.each(['vae', 'conv-vae', 'conditional-vae'])('a pipeline of a %s', (model) => {
  it.each([
    [2, 2],
    [3, 3],
    [4, 4],
    [2, 4],
    [2, 6],
  ])('%i stages, %i workers: the bits of one worker, with --reproducible', async (pipelineStages, maxWorkers) => {
    const options = { model, reproducible: true, lanes: 8, maxWorkers, clipGradientNorm: 0 }
    const plain = await plainlyTrained(options)
    const { whole, committed } = await trained({ ...options, pipelineStages })
    expect(weightsSha256(whole)).toBe(weightsSha256(plain.state))
    for (const [step, { scalars, batches, images }] of committed.entries()) {
      expect(batches).toEqual(plain.committed[step]?.batches)
      expect(images).toBe(plain.committed[step]?.images)
      for (const name of ['vaeLoss', 'reconstruction', 'kl', 'encoderGradientNorm', 'decoderGradientNorm'])
        expect(scalars[name], name).toBeCloseTo(plain.committed[step]?.scalars[name] ?? Number.NaN, 3)
    }
  })
})

describe.each([
  ['the article’s GAN, five updates of its discriminator', { model: 'gan' }, [2, 3]],
  ['R1 and a moving average', { model: 'gan', recipe: 'hinge' }, [2, 3]],
  ['a gradient penalty', { model: 'gan', recipe: 'wgan-gp' }, [3]],
  ['clipped weights', { model: 'gan', recipe: 'wgan', optimizer: 'rmsprop' }, [2]],
  [
    'spectral norms, packing and noise on images',
    { model: 'gan', spectralNorm: true, packing: 2, instanceNoise: 0.1 },
    [3],
  ],
  ['convolutions', { model: 'dcgan', recipe: 'hinge', discriminatorUpdates: 2 }, [2, 4, 6]],
  ['labels', { model: 'conditional-dcgan', discriminatorUpdates: 2 }, [2, 5]],
] as const)('a pipeline of a GAN: %s', (_, options, stages) => {
  it.each(
    stages.flatMap((each, index) => [[each, each] as const, ...(index === 0 ? [[each, 2 * each] as const] : [])]),
  )('%i stages, %i workers: the bits of one worker, with --reproducible', async (pipelineStages, maxWorkers) => {
    const all = { ...options, reproducible: true, lanes: 8 }
    const plain = await plainlyTrained(all)
    const { whole, committed } = await trained({ ...all, pipelineStages, maxWorkers })
    expect(weightsSha256(whole)).toBe(weightsSha256(plain.state))
    for (const [step, { scalars, batches, images }] of committed.entries()) {
      expect(batches).toEqual(plain.committed[step]?.batches)
      expect(images).toBe(plain.committed[step]?.images)
      const expected = plain.committed[step]?.scalars ?? {}
      const { bubbleShare: _waited, ...told } = scalars
      const names = Object.keys(expected).filter((name) => !/WeightNorm|UpdateRatio/.test(name))
      expect(Object.keys(told).sort()).toEqual(names.sort())
      for (const name of names) expect(told[name], name).toBeCloseTo(expected[name] ?? Number.NaN, 3)
    }
  })
})

it('has the bits of one worker on the wasm backend too', async () => {
  const native = backend
  backend = await openBackend('wasm', 1)
  try {
    const options = { reproducible: true, lanes: 8, maxWorkers: 2 }
    const plain = await plainlyTrained(options)
    expect(weightsSha256((await trained({ ...options, pipelineStages: 2 })).whole)).toBe(weightsSha256(plain.state))
  } finally {
    backend = native
  }
})

it('one pipeline has the bits of one worker with as many micro-batches, without --reproducible', async () => {
  const options = { lanes: 8, accumulate: 4, maxWorkers: 2, freeBits: 0.05, beta: 2, clipGradientNorm: 0.5 }
  const plain = await plainlyTrained(options)
  const { whole } = await trained({ ...options, pipelineStages: 2 })
  const [expected, found] = [plain.state.slots, new Map(whole.slots.map((slot) => [slot.name, slot]))]
  for (const { name, weights } of expected)
    for (const [index, value] of weights.entries()) expect(found.get(name)?.weights[index]).toBeCloseTo(value, 6)
})

it('holds no other weights than those of its stage', () => {
  const { ranks } = makePipelines(backend, { pipelineStages: 3, maxWorkers: 3 }, source)
  const names = ranks.map(({ state }) => state.slots.map(({ name }) => name))
  const all = makeTrainer(backend, {}, source).state.slots.map(({ name }) => name)
  expect(names.flat().sort()).toEqual(all.sort())
  expect(new Set(names.flat()).size).toBe(names.flat().length)
  for (const own of names) expect(own.length).toBeGreaterThan(0)
})

it.each(['vae', 'gan'])('makes the samples and interpolations that one worker makes: %s', async (model) => {
  const options = { model, averageDecay: model === 'gan' ? 0.9 : 0, reproducible: true, lanes: 8, maxWorkers: 3 }
  const plain = await plainlyTrained(options)
  const { ranks } = await trained({ ...options, pipelineStages: 3 })
  const rounded = (values: Float32Array | null | undefined) => values?.map((value) => Math.round(value * 1e5))
  const pictures = ['interpolation', 'samples'] as const
  const made = await Promise.all(
    ranks.map(async ({ trainer, group }) => {
      const own: (Float32Array | null)[] = []
      for (const picture of pictures) own.push(await trainer.samples(picture, 100, group))
      return own
    }),
  )
  expect(made.slice(0, 2).flat()).toEqual([null, null, null, null])
  for (const [index, picture] of pictures.entries())
    expect(rounded(made[2]?.[index])).toEqual(rounded(await plain.trainer.samples(picture, 100)))
})

it('goes back to the step before, bit for bit', async () => {
  const { ranks } = makePipelines(backend, { pipelineStages: 2, maxWorkers: 2, reproducible: true }, source)
  const step = (number: number) => Promise.all(ranks.map(({ trainer, group }) => trainer.step(number, group, noVotes)))
  const hash = () => weightsSha256(wholeOf(ranks.map(({ state }) => state)))
  const hashes = []
  for (let number = 0; number < 3; number++) {
    await step(number)
    hashes.push(hash())
  }
  for (const { trainer } of ranks) trainer.undo()
  expect(hash()).toBe(hashes[1])
})

it('skips a step that is not to be taken, on all ranks', async () => {
  const { ranks } = makePipelines(backend, { pipelineStages: 2, maxWorkers: 2, maxGradientNorm: 1e-9 }, source)
  const before = ranks.map(({ state }) => weightsSha256(state))
  const results = await Promise.all(
    ranks.map(({ trainer, group }) => trainer.step(0, group, { ...noVotes, stop: true })),
  )
  expect(results.map(({ committed, stop }) => [committed.skipped, stop])).toEqual([
    [true, true],
    [true, true],
  ])
  expect(ranks.map(({ state }) => weightsSha256(state))).toEqual(before)
})
