import * as tf from '@tensorflow/tfjs'
import { beforeAll, describe, expect, it } from 'vitest'
import { resolveConfig } from '../../shared/core/config.ts'
import { evenDeal } from '../../shared/core/schedule.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { weightsSha256 } from '../../worker/step/checkpoint-files.ts'
import { alone, localGroups, makeThreadedTrainer, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const source = tinySource(100, 16) // the last of four batches has four images
const whole = { ...alone, deal: [16] }
let backend: Backend

beforeAll(async () => {
  backend = await openBackend('auto', 1)
})

describe.each(['vae', 'gan'] as const)('micro-batches of a %s', (model) => {
  it.each([2, 3, 4])('%i of them: losses, gradients and samples are those of the plain step', async (accumulate) => {
    const options = { model, lanes: 16 }
    const plain = makeTrainer(backend, options, source)
    const single = makeTrainer(backend, { ...options, accumulate }, source)
    const ranks = [0, 1].map(() => makeTrainer(backend, { ...options, accumulate }, source))
    const groups = localGroups(
      ranks.map(({ state }) => state),
      evenDeal(ranks.length, 16),
    )
    for (let step = 0; step < 4; step++) {
      const expected = (await plain.trainer.step(step, whole, noVotes)).committed
      const found = await Promise.all([
        single.trainer.step(step, whole, noVotes),
        ...ranks.map(({ trainer }, rank) => trainer.step(step, groups[rank] ?? whole, noVotes)),
      ])
      for (const { committed } of found) {
        expect(committed.batches).toEqual(expected.batches)
        for (const [name, value] of Object.entries(expected.scalars))
          expect(committed.scalars[name], `${name} of step ${step}`).toBeCloseTo(value, 3)
      }
    }
    expect(weightsSha256(ranks[1]?.state ?? plain.state)).toBe(weightsSha256(ranks[0]?.state ?? single.state))
  })

  it('may be computed by several threads', async () => {
    const options = { model, lanes: 16, accumulate: 2 }
    const plain = makeTrainer(backend, { model, lanes: 16 }, source)
    const { trainer, close } = await makeThreadedTrainer(backend, options, source, 2)
    for (let step = 0; step < 4; step++) {
      const [expected, found] = [
        await plain.trainer.step(step, whole, noVotes),
        await trainer.step(step, whole, noVotes),
      ]
      expect(found.committed.batches).toEqual(expected.committed.batches)
      for (const [name, value] of Object.entries(expected.committed.scalars))
        expect(found.committed.scalars[name]).toBeCloseTo(value, 3)
    }
    await close()
  })

  it('change no bit of a reproducible run', async () => {
    const hashes = []
    for (const accumulate of [1, 3]) {
      const { state, trainer } = makeTrainer(backend, { model, reproducible: true, accumulate }, source)
      for (let step = 0; step < 2; step++) await trainer.step(step, alone, noVotes)
      hashes.push(weightsSha256(state))
    }
    expect(hashes[1]).toBe(hashes[0])
  })

  it('hold less at once', async () => {
    const peaks = []
    for (const accumulate of [1, 4]) {
      const plain = await openBackend('wasm', 1)
      let peak = 0
      const watched: Backend = {
        ...plain,
        gradients: (evaluate, ...rest) => {
          const before = tf.memory().numBytes
          const all = () => {
            const evaluation = evaluate()
            peak = Math.max(peak, tf.memory().numBytes - before) // all that the backward pass reads is there
            return evaluation
          }
          return plain.gradients(all, ...rest)
        },
      }
      const { trainer } = makeTrainer(watched, { model, lanes: 16, accumulate }, source)
      await trainer.step(0, whole, noVotes)
      peaks.push(peak)
    }
    const [most = 0, parts = 0] = peaks
    expect(parts).toBeGreaterThan(0)
    expect(parts).toBeLessThan(0.3 * most)
  })
})

it('there are lanes enough for them, where nobody says how many', () => {
  expect(resolveConfig({ maxWorkers: 3, accumulate: 4 }).lanes).toBe(16)
  expect(resolveConfig({ maxWorkers: 3, accumulate: 4, reproducible: true }).lanes).toBe(8)
})
