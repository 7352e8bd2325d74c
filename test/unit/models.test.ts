import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { withModelFile } from '../../cli/model-file.ts'
import { type RunOptions, resolveConfig } from '../../shared/core/config.ts'
import { parseDescription, specOf } from '../../shared/model/description.ts'
import { parametersOf } from '../../shared/model/parameters.ts'
import { registry } from '../../shared/model/registry.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { encodeCheckpoint, restoreCheckpoint, weightsSha256 } from '../../worker/step/checkpoint-files.ts'
import { temporaryFolder } from '../support/folder.ts'
import { denseGan, imageVae, smoothGan } from '../support/models.ts'
import {
  alone,
  laneGroups,
  localGroups,
  makeThreadedTrainer,
  makeTrainer,
  noVotes,
  tinySource,
} from '../support/training.ts'

const source = tinySource(70, 16)
const steps = 3
const gan = (options: RunOptions): RunOptions => ({ description: denseGan, discriminatorUpdates: 2, ...options })
const images = (options: RunOptions): RunOptions => ({ description: smoothGan, discriminatorUpdates: 2, ...options })
const cases: [string, RunOptions][] = [
  ['gan, least squares, rates that warm up', gan({ loss: 'lsgan', warmupSteps: 4, decay: 'cosine', decayEpochs: 2 })],
  ['gan, weights clipped', gan({ loss: 'wgan', optimizer: 'rmsprop', learningRate: 5e-5 })],
  ['gan, gradients clipped, an average', gan({ clipGradientNorm: 0.1, clipGradientValue: 0.01, averageDecay: 0.9 })],
  ['gan, hinge with spectral norms, spherical noise', gan({ loss: 'hinge', spectralNorm: true, noise: 'spherical' })],
  ['gan, packed, with instance noise', gan({ packing: 3, instanceNoise: 0.2, instanceNoiseEpochs: 1 })],
  ['gan of images, WGAN-GP, truncated noise', images({ loss: 'wgan-gp', averageDecay: 0.5, noise: 'truncated' })],
  ['gan of images, R1, uniform noise', images({ r1: 1, r1Every: 2, noise: 'uniform', spectralNorm: true })],
  ['vae, beta rising', { model: 'vae', beta: 4, klWarmupEpochs: 2, freeBits: 0.01 }],
  ['conditional vae of images', { description: imageVae }],
]
let backend: Backend

beforeAll(async () => {
  backend = await openBackend('auto', 1)
})

describe.each(cases)('%s', (_name, options) => {
  const make = (more: RunOptions = {}) => makeTrainer(backend, { ...options, ...more }, source)

  it('--reproducible: the same bits on one rank, two, three and four, whatever part of the lanes each has', async () => {
    const hashes = new Set<string>()
    for (const deal of [[8], [4, 4], [7, 1], [2, 3, 3], [1, 5, 2], [2, 2, 2, 2], [1, 1, 5, 1]]) {
      const ranks = deal.map(() => make({ reproducible: true }))
      const groups = laneGroups(
        ranks.map(({ state }) => state),
        deal,
      )
      for (let step = 0; step < steps; step++)
        await Promise.all(ranks.map(({ trainer }, rank) => trainer.step(step, groups[rank] ?? alone, noVotes)))
      for (const { state } of ranks) hashes.add(weightsSha256(state))
    }
    expect(hashes.size).toBe(1)
  })

  it.each([[[2, 3, 3]], [[5, 1, 2]]])(
    'fast: the losses of three ranks with %j lanes are those of one',
    async (deal) => {
      const single = make()
      const ranks = [make(), make(), make()]
      const groups = localGroups(
        ranks.map(({ state }) => state),
        deal,
      )
      for (let step = 0; step < steps; step++) {
        const expected = (await single.trainer.step(step, alone, noVotes)).committed.scalars
        const all = await Promise.all(
          ranks.map(({ trainer }, rank) => trainer.step(step, groups[rank] ?? alone, noVotes)),
        )
        for (const { committed } of all)
          for (const [name, value] of Object.entries(expected))
            expect(Math.abs((committed.scalars[name] ?? Number.NaN) - value), name).toBeLessThan(
              1e-3 * Math.max(1, Math.abs(value)),
            )
      }
      expect(new Set(ranks.map(({ state }) => weightsSha256(state))).size).toBe(1)
    },
  )

  it('goes on bit for bit from a checkpoint, and a step that fails leaves no trace', async () => {
    const whole = make()
    for (let step = 0; step < steps; step++) await whole.trainer.step(step, alone, noVotes)
    const first = make()
    await first.trainer.step(0, alone, noVotes)
    const files = encodeCheckpoint(first.state)
    const second = make()
    restoreCheckpoint(second.state, files.weights, files.optimizer, files.optimizerSteps)
    second.trainer.refresh()
    const failing = { ...alone, allReduce: () => (left-- > 0 ? Promise.resolve(0) : Promise.reject(new Error('lost'))) }
    let left = second.config.description.family === 'gan' ? 1 : 0 // a discriminator has moved already
    const before = weightsSha256(second.state)
    await expect(second.trainer.step(1, failing, noVotes)).rejects.toThrow('lost')
    expect(weightsSha256(second.state)).toBe(before)
    for (let step = 1; step < steps; step++) await second.trainer.step(step, alone, noVotes)
    expect(encodeCheckpoint(second.state)).toEqual(encodeCheckpoint(whole.state))
  })

  it('makes images in 0…1, the same for the same seed, and holds no tensor afterwards', async () => {
    const { trainer } = make()
    await trainer.step(0, alone, noVotes)
    const one = await trainer.samples('samples', 12)
    const tensors = backend.tensorCount()
    expect(await trainer.samples('samples', 12)).toEqual(one)
    expect(backend.tensorCount()).toBe(tensors)
    expect(one).toHaveLength(12 * 16)
    for (const value of one ?? []) expect(value >= -1e-6 && value <= 1 + 1e-6).toBe(true)
    expect(new Set(one).size).toBeGreaterThan(20)
  })
})

it('R1 of every third step weighs three times as much, and the steps between have none', async () => {
  const [each, third] = [1, 3].map((r1Every) =>
    makeTrainer(backend, images({ r1: 1, r1Every, discriminatorUpdates: 1 }), source),
  )
  const penalties: unknown[][] = []
  for (let step = 0; step < 4; step++) {
    const both = await Promise.all([each, third].map((made) => made?.trainer.step(step, alone, noVotes)))
    penalties.push(both.map((result) => result?.committed.scalars.penalty))
  }
  const [[one, three] = [], ...later] = penalties
  expect(Number(three) / Number(one)).toBeCloseTo(3, 1)
  expect(later.map(([, seldom]) => typeof seldom)).toEqual(['undefined', 'undefined', 'number'])
})

describe.each([
  ['gan of images, WGAN-GP, packed', images({ loss: 'wgan-gp', packing: 2, spectralNorm: true, averageDecay: 0.5 })],
  ['conditional vae of images', { description: imageVae }],
])('%s by three threads', (_name, options) => {
  it('has the losses of one', async () => {
    const single = makeTrainer(backend, options, source)
    const threaded = await makeThreadedTrainer(backend, options, source, 3)
    for (let step = 0; step < steps; step++) {
      const expected = (await single.trainer.step(step, alone, noVotes)).committed.scalars
      const found = (await threaded.trainer.step(step, alone, noVotes)).committed.scalars
      for (const [name, value] of Object.entries(expected))
        expect(Math.abs((found[name] ?? Number.NaN) - value), name).toBeLessThan(1e-3 * Math.max(1, Math.abs(value)))
    }
    await threaded.close()
  })
})

describe('a description', () => {
  const { recipes, networks, ...rest } = smoothGan
  const written = { ...rest, recipes, networks }
  const refused: [string, object, RegExp][] = [
    [
      'an unknown kind of layer',
      { networks: [{ ...networks[0], layers: [{ kind: 'lstm', name: 'x' }] }] },
      /networks.0.layers.0/,
    ],
    ['a missing network', { networks: [networks[0]] }, /a gan has generator and discriminator, not generator/],
    [
      'a missing rate',
      { recipes: { default: { epochs: 1, learningRates: { generator: 1 } } } },
      /a rate for discriminator/,
    ],
    ['no default recipe', { recipes: { other: recipes.default } }, /one of them has to be named default/],
    ['an unknown field', { colour: 'red' }, /colour/],
  ]
  it.each(refused)('with %s is refused', (_what, change, message) => {
    expect(() => parseDescription({ ...written, ...change }, '--model ./x.js')).toThrow(message)
  })

  it('is refused where its sizes do not fit the images', () => {
    const config = resolveConfig({ description: smoothGan })
    const spec = (height: number) => specOf(smoothGan, config, { height, width: 4, channels: 1 })
    expect(() => spec(5)).toThrow(/generator\/dense0: height\/2\*width\/2\*6 is 30|height\/2 is 2.5/)
    expect(spec(8).networks[0]?.layers[0]).toMatchObject({ units: 48, shape: [4, 2, 6] })
  })

  it('of every registered model fits its images, and says how its tensors are named', () => {
    for (const description of Object.values(registry)) {
      const side = description.name === 'spectrogram-vae' ? 128 : 28
      const { networks: all } = specOf(description, resolveConfig({ model: description.name }), {
        ...{ height: side, width: side, channels: 1 },
      })
      for (const network of all)
        for (const { name } of parametersOf(network))
          expect(name).toMatch(/^\w+\/\w+\/((kernel|bias)[01]?|scale|offset|left|right)$/)
    }
  })

  it('comes from a file of JavaScript, TypeScript or JSON, and travels as JSON', async () => {
    const folder = temporaryFolder()
    const text = JSON.stringify(smoothGan)
    const files = {
      'm.mjs': `export const model = ${text}`,
      'm.json': text,
      'm.ts': `const x: object = ${text}\nexport const model = x`,
    }
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(folder, name), content)
      const parsed = await withModelFile({ model: join(folder, name) })
      expect(parsed).toEqual({ model: 'smooth-gan', description: smoothGan })
      expect(resolveConfig(parsed)).toEqual(resolveConfig({ description: smoothGan }))
    }
    expect(await withModelFile({ model: 'vae' })).toEqual({ model: 'vae' })
    await expect(withModelFile({ model: './none.js' })).rejects.toThrow(/--model .\/none.js: there is no such file/)
    writeFileSync(join(folder, 'empty.mjs'), '')
    await expect(withModelFile({ model: join(folder, 'empty.mjs') })).rejects.toThrow(
      /export its description as "model"/,
    )
  })
})
