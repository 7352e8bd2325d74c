import { existsSync, readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { RingleaderError } from '../../shared/core/errors.ts'
import { sha256 } from '../../shared/dataset/chunk.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { encodeCheckpoint, restoreCheckpoint, weightsSha256 } from '../../worker/step/checkpoint-files.ts'
import { tail } from '../../worker/step/model-state.ts'
import { available } from '../support/cli.ts'
import { alone, localGroups, makeThreadedTrainer, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const source = tinySource(100, 16)
const native = available(findNative() !== null, 'native TensorFlow')
let backend: Backend

beforeAll(async () => {
  backend = await openBackend('auto', 1)
})

describe.each(['vae', 'gan'] as const)('%s steps', (model) => {
  it('give the same bits for the same seed, and others for another', async () => {
    const hashes = []
    for (const seed of [1, 1, 2]) {
      const { state, trainer } = makeTrainer(backend, { model, seed }, source)
      for (let step = 0; step < 3; step++) await trainer.step(step, alone, noVotes)
      hashes.push(weightsSha256(state))
    }
    expect(hashes[1]).toBe(hashes[0])
    expect(hashes[2]).not.toBe(hashes[0])
  })

  it.each([2, 3])('on %i ranks leave identical replicas, close to those of one rank', async (worldSize) => {
    const single = makeTrainer(backend, { model }, source)
    const ranks = Array.from({ length: worldSize }, () => makeTrainer(backend, { model }, source))
    const groups = localGroups(ranks.map(({ state }) => state))
    for (let step = 0; step < 4; step++) {
      const expected = await single.trainer.step(step, alone, noVotes)
      const results = await Promise.all(
        ranks.map(({ trainer }, rank) =>
          trainer.step(step, groups[rank] ?? alone, {
            ...noVotes,
            stop: rank === 1 && step === 3,
            pause: rank === 0 && step === 2,
          }),
        ),
      )
      for (const { committed, stop, pause } of results) {
        expect({ stop, pause }).toEqual({ stop: step === 3, pause: step === 2 })
        expect(committed.batches).toEqual(expected.committed.batches)
        for (const [name, value] of Object.entries(expected.committed.scalars))
          expect(committed.scalars[name]).toBeCloseTo(value, 3)
      }
    }
    const hashes = ranks.map(({ state }) => weightsSha256(state))
    expect(new Set(hashes).size).toBe(1)
  })

  it('are atomic: where the last reduction fails, weights, moments and counters are those of the step before', async () => {
    const { state, trainer } = makeTrainer(backend, { model }, source)
    await trainer.step(0, alone, noVotes)
    const before = snapshot(state)
    let reductions = 0
    const counting = { ...alone, allReduce: () => Promise.resolve(++reductions) }
    const undisturbed = makeTrainer(backend, { model }, source)
    await undisturbed.trainer.step(0, alone, noVotes)
    await undisturbed.trainer.step(1, counting, noVotes)
    let left = reductions
    const failing = {
      ...alone,
      allReduce: () =>
        --left === 0 ? Promise.reject(new RingleaderError('collective', 'a peer is lost')) : Promise.resolve(0),
    }
    await expect(trainer.step(1, failing, noVotes)).rejects.toThrow('a peer is lost')
    expect(snapshot(state)).toEqual(before)
    await trainer.step(1, alone, noVotes)
    expect(weightsSha256(state)).toBe(weightsSha256(undisturbed.state))
  })

  it('are skipped, not applied, where the reduced gradient is not finite', async () => {
    const { state, trainer } = makeTrainer(backend, { model }, source)
    const before = snapshot(state)
    const poison = {
      ...alone,
      allReduce: (_step: number, _bucket: number, [offset = 0]: readonly number[]) =>
        Promise.resolve(state.floats(offset + tail.floats * 4, 1).fill(Number.NaN).byteLength),
    }
    const { committed } = await trainer.step(0, poison, noVotes)
    expect(committed.skipped).toBe(true)
    expect(snapshot(state)).toEqual(before)
  })

  it('go on bit for bit from a checkpoint', async () => {
    const whole = makeTrainer(backend, { model }, source)
    for (let step = 0; step < 4; step++) await whole.trainer.step(step, alone, noVotes)
    const first = makeTrainer(backend, { model }, source)
    for (let step = 0; step < 2; step++) await first.trainer.step(step, alone, noVotes)
    const files = encodeCheckpoint(first.state)
    const second = makeTrainer(backend, { model, seed: 1 }, source)
    restoreCheckpoint(second.state, files.weights, files.optimizer, files.optimizerSteps)
    for (let step = 2; step < 4; step++) await second.trainer.step(step, alone, noVotes)
    expect(snapshot(second.state)).toEqual(snapshot(whole.state))
  })

  it.each([2, 3])('by %i threads are those of one, and the same each time', async (threads) => {
    const single = makeTrainer(backend, { model }, source)
    const hashes = []
    for (const _ of [1, 2]) {
      const { state, trainer, close } = await makeThreadedTrainer(backend, { model }, source, threads)
      try {
        for (let step = 0; step < 4; step++) {
          const expected = hashes.length === 0 ? await single.trainer.step(step, alone, noVotes) : null
          const { committed } = await trainer.step(step, alone, noVotes)
          for (const [name, value] of Object.entries(expected?.committed.scalars ?? {}))
            expect(committed.scalars[name]).toBeCloseTo(value, 3)
          if (expected) expect(committed.batches).toEqual(expected.committed.batches)
        }
        hashes.push(weightsSha256(state))
      } finally {
        await close()
      }
    }
    expect(hashes[1]).toBe(hashes[0])
  })

  it('hold no tensor more after two hundred steps than after one', async () => {
    const { trainer } = makeTrainer(backend, { model, steps: 300 }, source)
    await trainer.step(0, alone, noVotes)
    const tensors = backend.tensorCount()
    for (let step = 1; step < (model === 'vae' ? 200 : 40); step++) await trainer.step(step, alone, noVotes)
    expect(backend.tensorCount()).toBe(tensors)
  })
})

describe.runIf(native)('native TensorFlow', () => {
  it.each([
    ['vae', 'fp32', 1e-4],
    ['gan', 'fp32', 1e-4],
    ['vae', 'bf16', 2e-2],
    ['conv-vae', 'bf16', 2e-2],
    ['dcgan', 'bf16', 0.2],
  ] as const)('trains a %s in %s to the losses of the plain engine', async (model, math, tolerance) => {
    const losses = []
    for (const name of ['wasm', 'tensorflow'] as const) {
      const engine = await openBackend(name, 1)
      engine.useMath(name === 'wasm' ? 'fp32' : math)
      const { trainer } = makeTrainer(engine, { model, learningRate: 1e-3 }, source)
      const steps = []
      for (let step = 0; step < 4; step++) steps.push((await trainer.step(step, alone, noVotes)).committed.scalars)
      losses.push(steps)
    }
    const [plain = [], found = []] = losses
    for (const [step, scalars] of plain.entries()) {
      for (const [name, value] of Object.entries(scalars)) {
        if (math === 'bf16' && name.endsWith('Accuracy')) continue // a logit near 0 may be on either side
        const difference = Math.abs((found[step]?.[name] ?? Number.NaN) - value)
        expect(difference, `${name} of step ${step}`).toBeLessThan(tolerance * Math.max(1, Math.abs(value)))
      }
    }
    backend.useMath('fp32')
  })

  it('multiplies in bfloat16 where the processor has AMX, else in float32, and says which', () => {
    const hasAmx = existsSync('/proc/cpuinfo') && readFileSync('/proc/cpuinfo', 'utf8').includes(' amx_bf16 ')
    expect(backend.useMath('bf16')).toBe(hasAmx ? 'bf16' : 'fp32')
    expect(backend.useMath('fp32')).toBe('fp32')
  })

  it('is the only one with bf16', async () => {
    const plain = await openBackend('wasm', 1)
    expect(() => plain.useMath('bf16')).toThrow(
      '--math bf16 needs the tensorflow backend, this worker has wasm; write --math fp32',
    )
  })
})

it('a checkpoint of another architecture is refused by the name of its tensor', () => {
  const { state } = makeTrainer(backend, { model: 'vae' }, source)
  const other = makeTrainer(backend, { model: 'vae' }, tinySource(10, 25))
  const files = encodeCheckpoint(other.state)
  expect(() => restoreCheckpoint(state, files.weights, null, {})).toThrow(
    /tensor encoder\/dense0\/kernel .*\[25,256\]; this model needs \[16,256\]/,
  )
})

/** Everything that a checkpoint holds, by digest. */
function snapshot(state: Parameters<typeof encodeCheckpoint>[0]) {
  const { optimizerSteps, weights, optimizer } = encodeCheckpoint(state)
  return { optimizerSteps, weights: sha256(weights), optimizer: sha256(optimizer) }
}
