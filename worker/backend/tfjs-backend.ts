import type * as tfjs from '@tensorflow/tfjs'
import { exitCode, RingleaderError } from '../../shared/core/errors.ts'
import { Tape } from '../autodiff/tape.ts'
import { traced } from '../autodiff/traced.ts'
import type { Backend, Evaluation, GradientTarget, Tensor } from './backend.ts'
import { boundTensors } from './bound-tensors.ts'
import { tfjsPrimitives } from './tfjs-primitives.ts'

/** Any TensorFlow.js engine behind the backend interface, with gradients by our own tape. */
export function makeTfjsBackend(tf: typeof tfjs, name: string, version: string): Backend {
  const primitives = tfjsPrimitives(tf, name === 'wasm')
  const tape = new Tape<tfjs.Tensor>(primitives)
  const value = (tensor: Tensor) => traced<tfjs.Tensor>(tensor).value
  return {
    name,
    version,
    ops: tape,
    useMath(math) {
      if (math === 'fp32') return
      throw new RingleaderError(
        'math',
        `--math ${math} needs the tensorflow backend, this worker has ${name}; write --math fp32`,
        {
          exit: exitCode.config,
        },
      )
    },
    bind: (views) =>
      boundTensors(views, false, {
        make: ({ weights, shape }) => tape.leaf(tf.keep(tf.tensor(weights.slice(), [...shape], 'float32'))),
        release: (tensor) => tensor.value.dispose(),
      }),
    async gradients<G extends GradientTarget>(
      evaluate: () => Evaluation,
      targets: readonly G[],
      ready?: (target: G) => void,
    ) {
      const waiting = new Map<G, tfjs.Tensor>()
      let evaluation: Evaluation | undefined
      tf.tidy(() => {
        const keep = (index: number, gradient: tfjs.Tensor) => {
          const target = targets[index]
          if (target) waiting.set(target, tf.keep(gradient))
        }
        evaluation = tape.gradients(
          evaluate,
          targets.map(({ parameter }) => traced<tfjs.Tensor>(parameter)),
          { gradient: keep, product: (index, a, dy) => keep(index, primitives.matMul(a, dy, true, false)) },
        )
        for (const scalar of scalarsOf(evaluation)) tf.keep(value(scalar[1]))
      })
      for (const [target, gradient] of waiting) {
        target.gradient.set((await gradient.data()) as Float32Array)
        gradient.dispose()
        ready?.(target)
      }
      const scalars: Record<string, number> = {}
      for (const [key, scalar] of evaluation ? scalarsOf(evaluation) : []) {
        scalars[key] = (await value(scalar).data())[0] ?? Number.NaN
        value(scalar).dispose()
      }
      return scalars
    },
    async compute(run) {
      const result = tf.tidy(() => value(run()))
      const values = (await result.data()) as Float32Array
      result.dispose()
      return values
    },
    hold(run) {
      const kept = tf.keep(tf.tidy(() => value(run())))
      return { tensor: tape.leaf(kept), release: () => kept.dispose() }
    },
    takesTurns: false,
    tensorCount: () => tf.memory().numTensors,
  }
}

const scalarsOf = ({ loss, scalars }: Evaluation): [string, Tensor][] => Object.entries({ loss, ...scalars })
