import { priorNetwork } from '../../shared/model/description.ts'
import type { Layer, NetworkSpec } from '../../shared/model/layers.ts'
import { couplingKeeps } from '../../shared/model/parameters.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import type { Ops, Parameters, Tensor } from '../backend/backend.ts'
import { parameterOf } from './network.ts'

/** What q(z|x) is and gave: one sample z = μ + σ · noise of each row. */
interface Sample {
  readonly z: Tensor
  readonly noise: Tensor
  readonly logVariance: Tensor
}

/**
 * log p(z) − log q(z|x) [rows, 1], in nats, where p(z) = N(u; 0, 1) |det du/dz| and u = f(z) goes through the couplings of the prior (a
 * normalizing flow as the prior of a VAE: Chen et al. 2017, section 3.2; couplings: Dinh et al. 2017). log 2π is in both, and falls out.
 */
export function priorRatio(
  ops: Ops,
  prior: NetworkSpec | null,
  parameters: Parameters,
  { z, noise, logVariance }: Sample,
): Tensor {
  const own = ops.add(ops.square(noise), logVariance)
  if (!prior) return ops.scale(sumOfRows(ops, ops.sub(own, ops.square(z))), 0.5)
  let u = z
  const determinants: Tensor[] = []
  for (const layer of prior.layers) {
    const [kept, moved] = halves(ops, u)
    const { logFactor, shift } = moves(ops, prior, layer, parameters, kept)
    u = ops.concatColumns(ops.add(ops.mul(moved, ops.exp(logFactor)), shift), kept)
    determinants.push(sumOfRows(ops, logFactor))
  }
  const ratio = ops.scale(sumOfRows(ops, ops.sub(own, ops.square(u))), 0.5)
  return determinants.reduce((sum, determinant) => ops.add(sum, determinant), ratio)
}

/** z = f⁻¹(u), of normal noise [rows, latentSize]: what the decoder gets. */
export function noiseToLatent(ops: Ops, prior: NetworkSpec, parameters: Parameters, noise: Tensor): Tensor {
  return prior.layers.toReversed().reduce((u, layer) => {
    const values = u.shape[1] ?? 0
    const movedCount = values - couplingKeeps(values)
    const moved = ops.columns(u, 0, movedCount)
    const kept = ops.columns(u, movedCount, values - movedCount)
    const { logFactor, shift } = moves(ops, prior, layer, parameters, kept)
    return ops.concatColumns(kept, ops.mul(ops.sub(moved, shift), ops.exp(ops.neg(logFactor))))
  }, noise)
}

export function priorOf({ networks }: ModelSpec): NetworkSpec | null {
  return networks.find(({ name }) => name === priorNetwork) ?? null
}

function halves(ops: Ops, x: Tensor): [Tensor, Tensor] {
  const values = x.shape[1] ?? 0
  const kept = couplingKeeps(values)
  return [ops.columns(x, 0, kept), ops.columns(x, kept, values - kept)]
}

/** What the values that are kept do to the others: within e^±1 each, so that no coupling runs away. */
function moves(ops: Ops, { name }: NetworkSpec, layer: Layer, parameters: Parameters, kept: Tensor) {
  const parameter = parameterOf(parameters, name, layer)
  const hidden = ops.dense(kept, parameter('kernel0'), parameter('bias0'), 'relu')
  const both = ops.dense(hidden, parameter('kernel1'), parameter('bias1'))
  const count = (both.shape[1] ?? 0) / 2
  return { logFactor: ops.tanh(ops.columns(both, 0, count)), shift: ops.columns(both, count, count) }
}

export function sumOfRows(ops: Ops, x: Tensor): Tensor {
  return ops.sumTo(x, [x.shape[0] ?? 0, 1])
}
