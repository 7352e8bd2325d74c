import { beforeAll, describe, expect, it } from 'vitest'
import { resolveConfig } from '../../shared/core/config.ts'
import { parseDescription } from '../../shared/model/description.ts'
import type { Backend, Tensor } from '../../worker/backend/backend.ts'
import { openBackend } from '../../worker/backend/open-backend.ts'
import { makeModel } from '../../worker/model/make-model.ts'
import { noiseToLatent, priorOf, priorRatio } from '../../worker/model/prior.ts'
import { initializeWeights } from '../../worker/step/initial-weights.ts'
import { ModelState } from '../../worker/step/model-state.ts'
import { priorVae } from '../support/models.ts'
import { alone, imageOf, makeTrainer, noVotes, tinySource } from '../support/training.ts'

describe('the prior of a VAE', () => {
  const config = resolveConfig({ description: priorVae })
  const model = makeModel(config, imageOf(16))
  const prior = priorOf(model.spec)
  let backend: Backend
  let state: ModelState

  beforeAll(async () => {
    backend = await openBackend('wasm', 1)
    state = new ModelState(model.spec, 1 << 16)
    initializeWeights(state, 5, 'torch')
    for (const { weights } of state.slots)
      for (let index = 0; index < weights.length; index++) weights[index] = 2 * (weights[index] ?? 0)
  })

  const compute = async (make: (parameters: ReadonlyMap<string, Tensor>) => Tensor): Promise<Float32Array> => {
    const bound = backend.bind(state.allSlots())
    try {
      return await backend.compute(() => make(bound.tensors))
    } finally {
      bound.dispose()
    }
  }
  const latentOf = (noise: readonly number[]) =>
    compute((parameters) => {
      if (!prior) throw new Error('it has one')
      return noiseToLatent(backend.ops, prior, parameters, backend.ops.input(Float32Array.from(noise), [1, 3]))
    })
  const ratioAt = async (z: Float32Array) => {
    const { ops } = backend
    const none = () => ops.input(new Float32Array(3), [1, 3])
    const terms = { z: ops.input(z, [1, 3]), noise: none(), logVariance: none() }
    const [ratio = 0] = await compute((parameters) => priorRatio(ops, prior, parameters, terms))
    return ratio
  }

  it('has the density of what its noise becomes: that of the noise, divided by how far it is stretched', async () => {
    for (const noise of [
      [0.3, -1.1, 0.7],
      [-1.5, 0.2, 2],
    ]) {
      const z = await latentOf(noise)
      const step = 1e-2
      const columns = await Promise.all(
        [0, 1, 2].map(async (axis) => {
          const moved = (by: number) => latentOf(noise.map((value, index) => (index === axis ? value + by : value)))
          const [up, down] = [await moved(step), await moved(-step)]
          return [...up].map((value, index) => (value - (down[index] ?? 0)) / (2 * step))
        }),
      )
      const expected =
        -0.5 * noise.reduce((sum, value) => sum + value * value, 0) - Math.log(Math.abs(determinant(columns)))
      expect(await ratioAt(z)).toBeCloseTo(expected, 2)
      expect(Math.max(...[...z].map((value, index) => Math.abs(value - (noise[index] ?? 0))))).toBeGreaterThan(0.1)
    }
  })

  it('moves with the training, and the bound with it', async () => {
    const { trainer, state: trained } = makeTrainer(
      backend,
      { description: priorVae, learningRate: 1e-2 },
      tinySource(64, 16),
    )
    const before = trained.network('prior')
    const weights = () => trained.floats(before.weights, before.count).slice()
    const first = weights()
    const losses = []
    for (let step = 0; step < 10; step++)
      losses.push((await trainer.step(step, alone, noVotes)).committed.scalars.vaeLoss ?? Number.NaN)
    expect(weights()).not.toEqual(first)
    expect(losses[9]).toBeLessThan(losses[0] ?? 0)
  })
})

describe('a description with a prior', () => {
  const withNetworks = (networks: unknown) => () => parseDescription({ ...priorVae, networks }, 'mine')
  const [encoder, decoder, prior] = priorVae.networks

  it('has it once, of couplings, that take the latent vector', () => {
    const dense = { ...prior, layers: [{ kind: 'dense', name: 'dense0', units: 3 }] }
    const message =
      /mine: networks: prior is a chain of layers of the kind coupling with the input latent, no other has one/
    expect(withNetworks([encoder, decoder, dense])).toThrow(message)
    expect(withNetworks([encoder, { ...decoder, layers: prior?.layers }])).toThrow(message)
    expect(withNetworks([encoder, decoder, { ...prior, input: 'image' }])).toThrow(message)
    const apart = { ...prior, layers: [{ kind: 'coupling', name: 'coupling0', units: 3, input: 'mean' }] }
    expect(withNetworks([encoder, decoder, apart])).toThrow(message)
    const bent = { ...prior, layers: [{ kind: 'coupling', name: 'coupling0', units: 3, activation: 'relu' }] }
    expect(withNetworks([encoder, decoder, bent])).toThrow(/mine: networks.2.layers.0.activation/)
    expect(withNetworks([encoder, decoder, prior, prior])).toThrow(/a vae has encoder and decoder, not/)
  })

  it('counts no free bits, and divides no latent vector of one value', () => {
    const make = (options: object) => () => makeModel(resolveConfig({ description: priorVae, ...options }), imageOf(16))
    expect(make({ freeBits: 0.1 })).toThrow(
      '--free-bits counts nats by dimension, which the prior of prior-vae has not',
    )
    expect(make({ latentSize: 1 })).toThrow('a coupling divides the latent vector; write --latent-size 2 or more')
  })
})

/** Of a 3 × 3 matrix. */
function determinant([a = [], b = [], c = []]: readonly (readonly number[])[]): number {
  const [a0 = 0, a1 = 0, a2 = 0] = a
  const [b0 = 0, b1 = 0, b2 = 0] = b
  const [c0 = 0, c1 = 0, c2 = 0] = c
  return a0 * (b1 * c2 - b2 * c1) - a1 * (b0 * c2 - b2 * c0) + a2 * (b0 * c1 - b1 * c0)
}
