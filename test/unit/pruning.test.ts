import { beforeAll, describe, expect, it } from 'vitest'
import { type RunOptions, resolveConfig } from '../../shared/core/config.ts'
import { parsePruning, partOf } from '../../shared/core/prune-options.ts'
import { decodeSafetensors, encodeSafetensors } from '../../shared/core/safetensors.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { sparsityAt, sparsityOf, zeroSmallest } from '../../worker/optimizer/pruning.ts'
import { encodeCheckpoint, restoreCheckpoint, weightsSha256 } from '../../worker/step/checkpoint-files.ts'
import type { ModelState } from '../../worker/step/model-state.ts'
import { denseGan } from '../support/models.ts'
import { alone, localGroups, makeTrainer, noVotes, tinySource } from '../support/training.ts'

const source = tinySource(70, 16)
let backend: Backend

beforeAll(async () => {
  backend = await openBackend('auto', 1)
})

describe('what is pruned, and when', () => {
  it('follows the cubic schedule, from 0 to all of it, and goes on asking', () => {
    const config = { pruneBegin: 0.1, pruneEnd: 0.6 }
    const at = (step: number) => sparsityAt(config, 0.8, step, 1000)
    expect(at(99)).toBeNull()
    expect(at(100)).toBe(0)
    expect(at(105)).toBeNull()
    expect(at(350)).toBeCloseTo(0.8 * (1 - 0.5 ** 3), 10)
    expect(at(600)).toBeCloseTo(0.8, 10)
    expect(at(990)).toBeCloseTo(0.8, 10)
    expect(sparsityAt(config, 0, 350, 1000)).toBeNull()
    expect(sparsityAt({ pruneBegin: 0, pruneEnd: 1 }, 0.5, 0, 1)).toBe(0.5)
  })

  it('are the smallest magnitudes, of equal ones the first', () => {
    const values = Float32Array.of(0.5, -0.1, 3, 0.1, -1e-30, 0, 2, -0.1)
    zeroSmallest(values, 4)
    expect([...values]).toEqual([0.5, 0, 3, 0, 0, 0, 2, -0.1].map(Math.fround))
    zeroSmallest(values, 2)
    expect(values.filter((value) => value === 0)).toHaveLength(4)
    const many = Float32Array.from({ length: 5000 }, (_, at) => Math.sin(at * at))
    const sorted = many.map(Math.abs).sort()
    zeroSmallest(many, 4000)
    expect(many.every((value) => value === 0 || Math.abs(value) >= (sorted[4000] ?? 0))).toBe(true)
    expect(many.filter((value) => value === 0)).toHaveLength(4000)
    zeroSmallest(many, 5000)
    expect(new Set(many)).toEqual(new Set([0]))
  })

  it('is said by network and layer, and refused in words', () => {
    expect(parsePruning('prune', '0.8')).toEqual({ all: 0.8 })
    const parts = parsePruning('prune', 'decoder=0.5,decoder/logits=0')
    expect(['decoder/dense0/kernel', 'decoder/logits', 'encoder/mean'].map((name) => partOf(parts, name))).toEqual([
      0.5, 0, 0,
    ])
    for (const wrong of ['1', '-1', 'much', '', 'decoder=', 'decoder=0.5,0.3'])
      expect(() => parsePruning('prune', wrong), wrong).toThrow(
        /^--prune .*: write a part from 0 to below 1, or NETWORK=PART/,
      )
    expect(() => resolveConfig({ prune: { critic: 0.5 } })).toThrow(
      /model vae has no such network or layer; write one of encoder, decoder/,
    )
    expect(() => resolveConfig({ pruneBegin: 0.8 })).toThrow(
      /--prune-begin 0.8 is behind --prune-end 0.7; write a smaller one/,
    )
    expect(() => resolveConfig({ reproducible: true, checkpointDtype: 'bf16' })).toThrow(/leave one out/)
  })
})

const steps = 8
const gan: RunOptions = { description: denseGan, discriminatorUpdates: 2, averageDecay: 0.5, spectralNorm: true }

describe.each([
  ['vae, adam', { model: 'vae', prune: { all: 0.9 }, pruneEnd: 0.5 }, 0.9],
  ['gan, rmsprop', { ...gan, prune: { generator: 0.6 }, optimizer: 'rmsprop', pruneEnd: 0.5 }, 0.6],
  ['gan, sgd', { ...gan, prune: { all: 0.5 }, optimizer: 'sgd', pruneEnd: 0.5 }, 0.5],
] as [string, RunOptions, number][])('%s', (_name, options, sparsity) => {
  const make = () => makeTrainer(backend, { ...options, steps }, source)
  const kernels = (state: ModelState) =>
    state.allSlots().filter(({ role, network }) => role === 'kernel' && partOf(options.prune ?? {}, network) > 0)
  const zeros = (state: ModelState) =>
    kernels(state).map(({ weights }) => [...weights].flatMap((w, at) => (w === 0 ? [at] : [])))

  it('has its zeros by the end, keeps them, and learns with the rest', async () => {
    const { state, trainer } = make()
    let before = zeros(state)
    const networks = [...new Set(kernels(state).map(({ network }) => network))]
    for (let step = 0; step < steps; step++) {
      const { scalars } = (await trainer.step(step, alone, noVotes)).committed
      if (step === 0) for (const network of networks) expect(scalars[`${network}Sparsity`]).toBeLessThan(sparsity)
      const weights = kernels(state).map((slot) => slot.weights)
      for (const [index, places] of before.entries())
        expect(places.filter((at) => weights[index]?.[at] !== 0)).toEqual([])
      before = zeros(state)
    }
    for (const [index, { size, name }] of kernels(state).entries())
      expect(before[index]?.length, name).toBe(Math.round(sparsity * size))
    for (const network of networks)
      expect(sparsityOf(resolveConfig({ ...options, steps }), state, network)).toBeCloseTo(sparsity, 2)
    for (const { name, weights, moment1 } of state.slots)
      if (name.endsWith('kernel')) expect(moment1.some((moment, at) => weights[at] === 0 && moment !== 0)).toBe(false)
    const [first] = kernels(state)
    const kept = first?.weights.slice()
    await trainer.step(steps - 1, alone, noVotes)
    expect(first?.weights).not.toEqual(kept)
  })

  it('has the same zeros on every worker', async () => {
    const ranks = [make(), make(), make()]
    const groups = localGroups(ranks.map(({ state }) => state))
    for (let step = 0; step < steps; step++)
      await Promise.all(ranks.map(({ trainer }, rank) => trainer.step(step, groups[rank] ?? alone, noVotes)))
    const [first, ...others] = ranks.map(({ state }) => state)
    if (!first) throw new Error('there are ranks')
    expect(zeros(first).flat().length).toBeGreaterThan(0)
    for (const other of others) {
      expect(zeros(other).join()).toBe(zeros(first).join())
      expect(weightsSha256(other)).toBe(weightsSha256(first))
    }
  })

  it('goes on from a checkpoint in the middle, bit for bit', async () => {
    const whole = make()
    for (let step = 0; step < steps; step++) await whole.trainer.step(step, alone, noVotes)
    const first = make()
    for (let step = 0; step < 3; step++) await first.trainer.step(step, alone, noVotes)
    const { weights, optimizer, optimizerSteps } = encodeCheckpoint(first.state)
    const second = make()
    restoreCheckpoint(second.state, weights, optimizer, optimizerSteps)
    second.trainer.refresh()
    for (let step = 3; step < steps; step++) await second.trainer.step(step, alone, noVotes)
    expect(weightsSha256(second.state)).toBe(weightsSha256(whole.state))
  })
})

describe('a checkpoint in bfloat16', () => {
  it('takes half the room, rounds to the nearest, and keeps zeros', async () => {
    const { state, trainer } = makeTrainer(backend, { model: 'vae', prune: { all: 0.5 }, pruneEnd: 0.1, steps }, source)
    for (let step = 0; step < 2; step++) await trainer.step(step, alone, noVotes)
    const [full, half] = [encodeCheckpoint(state), encodeCheckpoint(state, 'bf16')]
    expect(half.weights.byteLength / full.weights.byteLength).toBeCloseTo(0.5, 1)
    const again = makeTrainer(backend, { model: 'vae', steps }, source)
    restoreCheckpoint(again.state, half.weights, half.optimizer, half.optimizerSteps)
    const wrong = state.slots.flatMap(({ weights }, index) =>
      [...weights].filter((weight, at) => {
        const stored = again.state.slots[index]?.weights[at] ?? Number.NaN
        return !(Math.abs(stored - weight) <= Math.abs(weight) * 2 ** -8 && (stored === 0) === (weight === 0))
      }),
    )
    expect(wrong).toEqual([])
  })

  it('rounds ties to even, and what is no number stays none', () => {
    const data = Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, -0, Number.NaN, Number.POSITIVE_INFINITY, 3e38)
    const bytes = encodeSafetensors([{ name: 'x', shape: [6], data }], undefined, 'BF16')
    const [a, b, c, d, e, f] = decodeSafetensors(bytes).tensors.get('x')?.data ?? []
    expect([a, b, c, d, e]).toEqual([1, 1 + 2 ** -6, -0, Number.NaN, Number.POSITIVE_INFINITY])
    expect(f).toBeCloseTo(3e38, -36)
  })
})
