import { assert } from '../../shared/core/errors.ts'
import type { NetworkSpec } from '../../shared/model/layers.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'

/** A network of a model, which has been checked to have it (shared/model/description.ts). */
export function networkOf({ name, networks }: ModelSpec, wanted: string): NetworkSpec {
  const network = networks.find((some) => some.name === wanted)
  assert(network, `model ${name} has a network ${wanted}`)
  return network
}
