import { setImmediate } from 'node:timers/promises'
import { assert } from '../../shared/core/errors.ts'
import { randomStream } from '../../shared/core/random.ts'
import { labelClasses, type ModelSpec } from '../../shared/model/spec.ts'
import type { Backend, Ops, Parameters, Tensor } from '../backend/backend.ts'
import { applyNetwork, applySequential } from '../model/network.ts'
import { networkOf } from '../model/network-of.ts'
import { priorOf, priorRatio, sumOfRows } from '../model/prior.ts'
import { latentOf, twiceDivergence } from '../model/vae.ts'
import { oneHot } from '../step/images.ts'
import type { ModelState } from '../step/model-state.ts'
import type { Features } from './statistics.ts'

/** Nats an image, over held-out images. */
export interface Likelihood {
  readonly reconstruction: number
  readonly kl: number
  /** reconstruction + kl: a bound on −log p(x) by one sample of z for each image. */
  readonly negativeElbo: number
  /** A tighter bound on −log p(x) by `importanceSamples` samples of z. */
  readonly negativeIwae: number
  readonly importanceSamples: number
  readonly images: number
}

interface HeldOut {
  /** [rows, pixels] in 0…1. */
  readonly images: Features
  readonly labels: Uint8Array
  readonly importanceSamples: number
  readonly seed: number
}

/** Rows of z at once, where an image has not more of them. */
export const rowsAtOnce = 1000

/**
 * Of a VAE with Bernoulli pixels. −ELBO: Kingma & Welling 2014, eq. 10. IWAE: Burda et al. 2016, eq. 8,
 * −log 1/k Σ p(x|z) p(z) / q(z|x).
 */
export async function likelihoodOf(
  backend: Backend,
  spec: ModelSpec,
  parameters: Parameters,
  state: ModelState,
  { images, labels, importanceSamples, seed }: HeldOut,
): Promise<Likelihood> {
  const perBlock = Math.max(1, Math.floor(rowsAtOnce / importanceSamples))
  const sums = { reconstruction: 0, kl: 0, iwae: 0 }
  for (let start = 0, block = 0; start < images.rows; start += perBlock, block++) {
    await setImmediate() // lets the process hear that it is to end
    const rows = Math.min(perBlock, images.rows - start)
    const values = images.values.subarray(start * images.columns, (start + rows) * images.columns)
    const pixels = repeated(values, importanceSamples)
    const hot = repeated(oneHot([...labels.subarray(start, start + rows)]), importanceSamples)
    const total = rows * importanceSamples
    assert(total * spec.latentSize * 4 <= state.scratchBytes, 'noise fits its region')
    const key = { seed, stream: randomStream.evaluation, step: 0, lane: block }
    state.kernel.philoxNormal(state.scratch, total * spec.latentSize, key)
    const noise = state.floats(state.scratch, total * spec.latentSize).slice()
    const terms = await backend.compute(() => {
      const { ops } = backend
      const x = ops.input(pixels, [total, images.columns])
      const classes = spec.conditional ? ops.input(hot, [total, labelClasses]) : null
      return logTerms(ops, spec, parameters, x, ops.input(noise, [total, spec.latentSize]), classes)
    })
    for (let row = 0; row < rows; row++) {
      const logWeights = Array.from({ length: importanceSamples }, (_, sample) => {
        const at = sample * rows + row
        return (terms[total + at] ?? 0) - (terms[at] ?? 0)
      })
      sums.reconstruction += terms[row] ?? 0
      sums.kl += terms[2 * total + row] ?? 0
      sums.iwae -= logMeanExp(logWeights)
    }
  }
  const mean = (sum: number) => sum / images.rows
  const [reconstruction, kl] = [mean(sums.reconstruction), mean(sums.kl)]
  return {
    ...{ reconstruction, kl, negativeElbo: reconstruction + kl, negativeIwae: mean(sums.iwae) },
    ...{ importanceSamples, images: images.rows },
  }
}

/**
 * For each row −log p(x|z), then log p(z) − log q(z|x), then KL(q(z|x) ‖ p(z)): [3 · rows, 1]. With a prior that is learned the third is that
 * of the sample.
 */
function logTerms(
  ops: Ops,
  spec: ModelSpec,
  parameters: Parameters,
  x: Tensor,
  noise: Tensor,
  labels: Tensor | null,
): Tensor {
  const encoded = applyNetwork(ops, networkOf(spec, 'encoder'), parameters, x, labels)
  const [mean, logVariance] = [encoded.get('mean'), encoded.get('logVariance')]
  assert(mean && logVariance, 'an encoder tells mean and log variance')
  const z = latentOf(ops, mean, logVariance, noise)
  const logits = applySequential(ops, networkOf(spec, 'decoder'), parameters, z, labels)
  const reconstruction = sumOfRows(ops, ops.sub(ops.softplus(logits), ops.mul(x, logits)))
  const prior = priorOf(spec)
  const ratio = priorRatio(ops, prior, parameters, { z, noise, logVariance })
  const divergence = prior ? ops.neg(ratio) : ops.scale(sumOfRows(ops, twiceDivergence(ops, mean, logVariance)), 0.5)
  return ops.concatRows(ops.concatRows(reconstruction, ratio), divergence)
}

export function logMeanExp(values: readonly number[]): number {
  const largest = Math.max(...values)
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0) / values.length)
}

function repeated(values: Float32Array, times: number): Float32Array {
  const all = new Float32Array(values.length * times)
  for (let time = 0; time < times; time++) all.set(values, time * values.length)
  return all
}
