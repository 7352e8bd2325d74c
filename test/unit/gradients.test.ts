import { beforeAll, describe, expect, it } from 'vitest'
import { type RunOptions, resolveConfig } from '../../shared/core/config.ts'
import type { Backend, Parameters, Tensor } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { makeModel } from '../../worker/model/make-model.ts'
import type { Model, Phase } from '../../worker/model/model.ts'
import { ModelState, type ParameterSlot } from '../../worker/step/model-state.ts'

const pixels = 16
const rows = 6
const cases: { name: string; options: RunOptions }[] = [
  { name: 'vae', options: { model: 'vae' } },
  { name: 'gan, non-saturating', options: { model: 'gan' } },
  { name: 'gan, minimax', options: { model: 'gan', loss: 'minimax' } },
  { name: 'gan, smoothed labels', options: { model: 'gan', realTarget: 0.9 } },
]

describe.each(cases)('gradients of $name', ({ options }) => {
  let backend: Backend
  let model: Model
  let state: ModelState

  beforeAll(async () => {
    backend = await openBackend('auto', 1)
    const config = resolveConfig(options)
    model = makeModel(config, pixels)
    state = new ModelState(model.spec, 1 << 20)
    state.initialize(3, 'torch')
  })

  it('agree with central differences of the loss along random directions, for every parameter', async () => {
    for (const phase of model.phases(1)) {
      for (const slot of state.slots.filter(({ network }) => phase.updates.includes(network))) {
        const gradient = await gradientOf(phase, slot)
        const direction = Float32Array.from(
          { length: slot.size },
          (_, index) => Math.sign(gradient[index] ?? 0) * (0.5 + 0.5 * Math.abs(Math.sin(index + 1))),
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
    for (const phase of model.phases(1)) for (const name of phase.updates) expect(state.networks.has(name)).toBe(true)
    const moved = model.phases(1).flatMap((phase) => phase.updates)
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
    const h = 1e-2 / Math.sqrt(direction.reduce((sum, value) => sum + value * value, 0))
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
    const images =
      phase.batch === null
        ? null
        : backend.ops.input(
            values(rows * pixels, 0.5).map((value) => value + 0.5),
            [rows, pixels],
          )
    const noise = backend.ops.input(values(rows * phase.noiseSize, 1), [rows, phase.noiseSize])
    const given = phase.prepare ? phase.prepare(backend.ops, parameters, noise) : noise
    return phase.evaluate(backend.ops, parameters, images, given, rows)
  }
})
