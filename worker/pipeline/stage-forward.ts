import { assert } from '../../shared/core/errors.ts'
import type { Hyperparameters } from '../../shared/model/hyperparameters.ts'
import type { Stage } from '../../shared/pipeline/stages.ts'
import type { Evaluation, Ops, Parameters, Tensor } from '../backend/backend.ts'
import { applyNetwork } from '../model/network.ts'
import { divergenceCost, latentOf } from '../model/vae.ts'

/** What the rows of a micro-batch are made of, as far as a stage reads it. */
export interface StageInputs {
  /** What comes in, [rows, inputSize]. */
  readonly x: Tensor
  /** Latent noise [rows, latentSize], for the stage with the heads. */
  readonly noise: Tensor | null
  /** The images [rows, pixels] that the last stage compares with. */
  readonly images: Tensor | null
  /** d loss / d output [rows, outputSize] from the stage behind; null at the last. */
  readonly dy: Tensor | null
  readonly labels: Tensor | null
  readonly rows: number
  readonly globalRows: number
}

interface Outputs {
  /** [rows, outputSize], logits at the last stage. */
  readonly y: Tensor
  readonly mean: Tensor | null
  readonly logVariance: Tensor | null
}

/** A stage's way forward, in the order of operations that the whole model has (worker/model/vae.ts, gan.ts). */
export function forward(
  ops: Ops,
  { spec, inputShape, first }: Stage,
  parameters: Parameters,
  { x, noise, labels, rows }: Pick<StageInputs, 'x' | 'noise' | 'labels' | 'rows'>,
): Outputs {
  // An activation is no input from outside, which a backend may multiply in another way.
  let current = first ? x : ops.reshape(x, [rows, ...inputShape])
  let mean: Tensor | null = null
  let logVariance: Tensor | null = null
  for (const network of spec.networks) {
    const outputs = applyNetwork(ops, network, parameters, current, labels)
    mean ??= outputs.get('mean') ?? null
    logVariance ??= outputs.get('logVariance') ?? null
    const last = outputs.get(network.layers.at(-1)?.name ?? '')
    assert(last, `network ${network.name} has layers`)
    current = last
    if (network.name !== 'encoder' || !mean || !logVariance) continue
    assert(noise, 'the stage with the heads draws noise')
    current = latentOf(ops, mean, logVariance, noise)
  }
  const size = current.shape.slice(1).reduce((product, extent) => product * extent, 1)
  return { y: current.shape.length === 2 ? current : ops.reshape(current, [rows, size]), mean, logVariance }
}

/** Scalars that a stage may report. */
export const stageScalars = ['reconstruction', 'kl', 'weighted'] as const

/**
 * What a stage goes back from: its own terms of the loss, and Σ y · dy, whose gradient with respect to what the stage computes is
 * that of the terms behind it.
 */
export function evaluateStage(
  ops: Ops,
  stage: Stage,
  parameters: Parameters,
  inputs: StageInputs,
  settings: Pick<Hyperparameters, 'beta' | 'freeBits'>,
): Evaluation {
  const { images, dy, rows, globalRows } = inputs
  const { y, mean, logVariance } = forward(ops, stage, parameters, inputs)
  const scalars: Record<string, Tensor> = {}
  let loss: Tensor
  if (dy) loss = ops.sum(ops.mul(y, dy))
  else {
    assert(images, 'the last stage reads images')
    scalars.reconstruction = ops.scale(ops.bernoulli(y, images), 1 / globalRows)
    loss = ops.scale(scalars.reconstruction, 1)
  }
  if (mean && logVariance && stage.heads) {
    const { kl, weighted } = divergenceCost(ops, { mean, logVariance, ...settings, rows, globalRows })
    Object.assign(scalars, { kl, weighted })
    loss = ops.add(loss, weighted)
  }
  return { loss, scalars }
}
