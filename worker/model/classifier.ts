import { assert } from '../../shared/core/errors.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import type { Model, Phase } from './model.ts'
import { applySequential } from './network.ts'
import { networkOf } from './network-of.ts'

/** Tells the classes of images apart. */
export function classifier(spec: ModelSpec): Model {
  const network = networkOf(spec, 'classifier')
  const phase: Phase = {
    name: 'classifier',
    updates: ['classifier'],
    batch: 0,
    prepare: null,
    draws: {},
    scalars: [],
    /** Cross-entropy per image in nats. */
    evaluate(ops, parameters, { images, labels, globalRows }) {
      assert(images && labels, 'a classifier reads images and labels')
      const logits = applySequential(ops, network, parameters, images)
      return { loss: ops.scale(ops.softmaxCrossEntropy(logits, labels), 1 / globalRows), scalars: {} }
    },
  }
  return { spec, phases: () => [phase], generate: null, reconstruct: null, divergence: null }
}
