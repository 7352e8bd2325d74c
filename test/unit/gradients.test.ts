import { beforeAll, describe, expect, it } from 'vitest'
import { type RunOptions, resolveConfig } from '../../shared/core/config.ts'
import type { Backend, Parameters, Tensor } from '../../worker/backend/backend.ts'
import { findNative } from '../../worker/backend/native/native-cache.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { makeModel } from '../../worker/model/make-model.ts'
import type { Model, Phase } from '../../worker/model/model.ts'
import { oneHot } from '../../worker/step/images.ts'
import { initializeWeights } from '../../worker/step/initial-weights.ts'
import { ModelState, type ParameterSlot } from '../../worker/step/model-state.ts'
import { available } from '../support/cli.ts'
import { hasGpu } from '../support/gpu.ts'
import { imageVae, priorVae, smoothGan } from '../support/models.ts'
import { imageOf } from '../support/training.ts'

const native = available(findNative() !== null, 'native TensorFlow')
const gpu = await hasGpu()
const backends = [...(native ? ['tensorflow' as const] : []), ...(gpu ? ['webgpu' as const] : []), 'wasm' as const]
const rows = 6
const gan = (options: RunOptions): RunOptions => ({ model: 'gan', ...options })
const smooth = (options: RunOptions): RunOptions => ({ description: smoothGan, ...options })
const cases: { name: string; options: RunOptions; pixels?: number; step?: number }[] = [
  { name: 'vae', options: { model: 'vae' } },
  { name: 'gan, non-saturating', options: { model: 'gan' } },
  { name: 'gan, minimax', options: { model: 'gan', loss: 'minimax' } },
  { name: 'gan, smoothed labels', options: { model: 'gan', realTarget: 0.9 } },
  { name: 'gan, least squares', options: gan({ loss: 'lsgan', r1: 0 }) }, // a penalty on slopes has a jump wherever relu has a kink
  { name: 'gan, Wasserstein', options: gan({ loss: 'wgan' }) },
  { name: 'gan, hinge with spectral norms', options: smooth({ loss: 'hinge', spectralNorm: true }) },
  { name: 'gan of images, packed, with instance noise', options: smooth({ packing: 3, instanceNoise: 0.3 }) },
  { name: 'gan of images', options: smooth({}) },
  { name: 'gan of images, packed, with spectral norms', options: smooth({ spectralNorm: true, packing: 2 }) },
  { name: "WGAN-GP's penalty", options: smooth({ loss: 'wgan-gp' }) },
  { name: 'the penalty R1', options: smooth({ r1: 5 }) },
  { name: 'both penalties through spectral norms', options: smooth({ loss: 'wgan-gp', r1: 1, spectralNorm: true }) },
  { name: 'vae with beta', options: { model: 'vae', beta: 4 } },
  { name: 'vae with free bits', options: { model: 'vae', freeBits: 0.02 } },
  { name: 'conditional vae of images', options: { description: imageVae } },
  { name: 'vae with a prior that is learned', options: { description: priorVae } },
  { name: 'classifier', options: { model: 'classifier' }, pixels: 784, step: 1e-3 }, // small: maxima have kinks everywhere
]

const start = { step: 0, epochs: 0 }
const isMovedBy = (phase: Phase) => (slot: ParameterSlot) =>
  phase.updates.includes(slot.network) && slot.role !== 'singularVector'

describe.each(cases.flatMap((entry) => backends.map((engine) => ({ ...entry, engine }))))(
  'gradients of $name on $engine',
  ({ options, engine, pixels = 16, step = 1e-2 }) => {
    let backend: Backend
    let model: Model
    let state: ModelState

    beforeAll(async () => {
      backend = await openBackend(engine, 1)
      const config = resolveConfig(options)
      model = makeModel(config, imageOf(pixels))
      state = new ModelState(model.spec, 1 << 20)
      initializeWeights(state, 3, 'torch')
    })

    it('agree with central differences of the loss along random directions, for every parameter', async () => {
      for (const phase of model.phases(1, start)) {
        for (const slot of state.slots.filter(isMovedBy(phase))) {
          const gradient = await gradientOf(phase, slot)
          const flat = gradient.every((value) => value === 0) // then it has to be flat along any direction
          const direction = Float32Array.from(
            { length: slot.size },
            (_, index) => (flat ? 1 : Math.sign(gradient[index] ?? 0)) * (0.5 + 0.5 * Math.abs(Math.sin(index + 1))),
          )
          const expected = await slopeAlong(phase, slot, direction)
          const found = gradient.reduce((sum, value, index) => sum + value * (direction[index] ?? 0), 0)
          expect(
            Math.abs(found - expected) / Math.max(Math.abs(expected), 1e-3),
            `${phase.name}: ${slot.name}`,
          ).toBeLessThan(0.02)
        }
      }
    })

    it('of a phase leave the other networks alone', () => {
      for (const phase of model.phases(1, start))
        for (const name of phase.updates) expect(state.networks.has(name)).toBe(true)
      const moved = model.phases(1, start).flatMap((phase) => phase.updates)
      expect([...new Set(moved)].sort()).toEqual([...state.networks.keys()].sort())
    })

    async function gradientOf(phase: Phase, slot: ParameterSlot): Promise<Float32Array> {
      const bound = backend.bind(state.slots)
      const gradient = new Float32Array(slot.size)
      await backend.gradients(
        () => evaluate(phase, bound.tensors),
        [{ parameter: bound.tensors.get(slot.name) as Tensor, gradient }],
      )
      bound.dispose()
      return gradient
    }

    /** (f(w + h d) − f(w − h d)) / 2h, d scaled so that h moves the loss well above float32's noise. */
    async function slopeAlong(phase: Phase, slot: ParameterSlot, direction: Float32Array): Promise<number> {
      const kept = slot.weights.slice()
      const h = step / Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0))
      const at = async (sign: number) => {
        slot.weights.set(kept.map((value, index) => value + sign * h * (direction[index] ?? 0)))
        const bound = backend.bind(state.slots)
        const loss = await lossOf(phase, bound.tensors)
        bound.dispose()
        return loss
      }
      const slope = ((await at(1)) - (await at(-1))) / (2 * h)
      slot.weights.set(kept)
      return slope
    }

    async function lossOf(phase: Phase, parameters: Parameters): Promise<number> {
      return (await backend.compute(() => evaluate(phase, parameters).loss))[0] ?? Number.NaN
    }

    function evaluate(phase: Phase, parameters: Parameters) {
      const values = (count: number, spread: number) =>
        Float32Array.from({ length: count }, (_, index) => spread * Math.sin(index * 1.7 + 0.3))
      const { ops } = backend
      const labels = model.spec.conditional ? ops.input(oneHot([0, 1, 2, 3, 4, 9]), [rows, 10]) : null
      const images = values(rows * pixels, 0.5).map((value) => value + 0.5)
      const noise = ops.input(values(rows * model.spec.latentSize, 1), [rows, model.spec.latentSize])
      const draws = Object.entries(phase.draws).map(([name, { size }]) => {
        const drawn = values(rows * size, 0.5).map((value) => value + 0.4)
        return [name, ops.input(drawn, [rows, size])]
      })
      return phase.evaluate(ops, parameters, {
        images: phase.batch === null ? null : ops.input(images, [rows, pixels]),
        noise: phase.prepare ? phase.prepare(ops, parameters, noise) : noise,
        draws: Object.fromEntries(draws),
        laneRows: [4, 0, 2],
        ...{ labels, rows, globalRows: rows },
      })
    }
  },
)
