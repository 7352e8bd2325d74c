import type * as tfjs from '@tensorflow/tfjs'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { Tape } from '../autodiff/tape.ts'
import { traced } from '../autodiff/traced.ts'
import type { Backend, Evaluation, GradientTarget, Tensor } from './backend.ts'
import { boundTensors } from './bound-tensors.ts'
import { tfjsPrimitives } from './tfjs-primitives.ts'
import { hostTransfers, type Read, type Transfers } from './tfjs-transfers.ts'

/** Any TensorFlow.js engine behind the backend interface, with gradients by our own tape. */
export function makeTfjsBackend(
  tf: typeof tfjs,
  name: string,
  version: string,
  transfers: Transfers = hostTransfers(tf),
): Backend {
  const primitives = { ...tfjsPrimitives(tf, name), input: transfers.input }
  const tape = new Tape<tfjs.Tensor>(primitives)
  const value = (tensor: Tensor) => traced<tfjs.Tensor>(tensor).value
  const compute = <T extends tfjs.TensorContainer>(run: () => T): T => {
    try {
      return transfers.evaluate ? transfers.evaluate(() => tf.tidy(run)) : tf.tidy(run)
    } catch (error) {
      throw inOtherWords(error, name)
    }
  }
  return {
    name,
    version,
    ops: tape,
    useMath(math) {
      if (math === 'fp32') return math
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
        make: (view) => tape.leaf(transfers.bind(view)),
        renew: ({ value }, view) => tape.leaf(transfers.refresh(value, view)),
        release: ({ value }) => transfers.release(value),
      }),
    async gradients<G extends GradientTarget>(
      evaluate: () => Evaluation,
      targets: readonly G[],
      ready?: (target: G) => void,
    ) {
      const reads: Read[] = []
      const scalars = new Map<string, Float32Array>()
      compute(() => {
        const keep = (index: number, gradient: tfjs.Tensor) => {
          const target = targets[index]
          if (target) reads.push({ tensor: tf.keep(gradient), into: target.gradient, done: () => ready?.(target) })
        }
        const { loss, scalars: others } = tape.gradients(
          evaluate,
          targets.map(({ parameter }) => traced<tfjs.Tensor>(parameter)),
          { gradient: keep, product: (index, a, dy) => keep(index, primitives.matMul(a, dy, true, false)) },
        )
        for (const [key, scalar] of Object.entries({ loss, ...others })) {
          const into = new Float32Array(1)
          scalars.set(key, into)
          reads.push({ tensor: tf.keep(value(scalar)), into })
        }
      })
      await transfers.read(reads)
      for (const tensor of new Set(reads.map((read) => read.tensor))) tensor.dispose()
      return Object.fromEntries([...scalars].map(([key, [scalar = Number.NaN]]) => [key, scalar]))
    },
    async compute(run) {
      const tensor = compute(() => value(run()))
      const into = new Float32Array(tensor.size)
      await transfers.read([{ tensor, into }])
      tensor.dispose()
      return into
    },
    hold(run) {
      const kept = tf.keep(compute(() => value(run())))
      return { tensor: tape.leaf(kept), release: () => kept.dispose() }
    },
    takesTurns: false,
    tensorCount: () => tf.memory().numTensors,
    ...(transfers.use ? { deviceUse: transfers.use } : {}),
  }
}

/** What TensorFlow.js complains about, with what to write instead. */
function inOtherWords(error: unknown, backend: string): unknown {
  const told = messageOf(error)
  const [, kernel] = /Kernel '(\w+)' not registered/.exec(told) ?? []
  const [code, message] = kernel
    ? [
        'missing-kernel',
        `the ${backend} backend has no kernel ${kernel}, which this model needs; write --backend tensorflow`,
      ]
    : /exceeds WebGPU limits/.test(told)
      ? ['device-limit', `a tensor is too large for this GPU: ${told} Write a smaller --batch-size, or --accumulate`]
      : []
  return code ? new RingleaderError(code, message ?? '', { cause: error, exit: exitCode.config }) : error
}
