import { exitCode, messageOf, RingleaderError } from '../../../shared/core/errors.ts'
import { Tape } from '../../autodiff/tape.ts'
import { traced } from '../../autodiff/traced.ts'
import type { Backend, Tensor } from '../backend.ts'
import { boundTensors } from '../bound-tensors.ts'
import { Eager, type Handle } from '../native/eager.ts'
import type { LoadedBinding } from '../native/load-native-binding.ts'
import { nativePrimitives } from '../native/native-primitives.ts'
import { JoinedReads } from './joined-reads.ts'

/**
 * TensorFlow's kernels on a device with a memory of its own, with gradients by our own tape: weights are written once after an update,
 * gradients and scalars joined on the device and read once. `card`: its name.
 */
export function makeCudaBackend(binding: LoadedBinding, version: string, card: string): Backend {
  const eager = new Eager(binding)
  // Fused layers have kernels on the CPU for each activation, on cards for some.
  const primitives = {
    ...nativePrimitives(eager, { op: 'MatMul', narrowConvolutions: false }, new Map()),
    dense: () => null,
  }
  const tape = new Tape<Handle>(primitives)
  const reads = new JoinedReads(eager, binding)
  const value = (tensor: Tensor) => traced<Handle>(tensor).value
  const seconds = { upload: 0, read: 0 }
  const timed = <R>(kind: keyof typeof seconds, work: () => R): R => {
    const since = performance.now()
    try {
      return work()
    } finally {
      seconds[kind] += (performance.now() - since) / 1000
    }
  }
  /** Runs `work` with whatever the device says against it in our words, and frees what it made but for `keeps`. */
  const scope = <R>(work: () => R, keeps: (result: R) => readonly Handle[] = () => []): R => {
    try {
      return eager.scope(work, keeps)
    } catch (error) {
      reads.forget()
      throw inOtherWords(error, card)
    }
  }
  return {
    name: 'tensorflow-gpu',
    version: `${version} on ${card}`,
    ops: tape,
    useMath(math) {
      if (math === 'fp32') return math
      const message = `--math ${math} needs the tensorflow backend, this worker has tensorflow-gpu; write --math fp32`
      throw new RingleaderError('math', message, { exit: exitCode.config })
    },
    bind(views) {
      const make = (view: (typeof views)[number]) =>
        timed('upload', () => {
          const kept = scope(
            () => eager.float(view.weights, view.shape),
            (handle) => [handle],
          )
          return tape.leaf({ id: kept.id, shape: kept.shape })
        })
      const release = (tensor: Tensor) => eager.release(value(tensor))
      const renew = (tensor: Tensor, view: (typeof views)[number]) => {
        release(tensor)
        return make(view)
      }
      return boundTensors(views, false, { make, renew, release })
    },
    gradients(evaluate, targets, ready = () => {}) {
      const scalars = new Map<string, Float32Array>()
      scope(() => {
        const add = (index: number, gradient: Handle) => {
          const target = targets[index]
          if (target) reads.add(gradient, target.gradient, () => ready(target))
        }
        const { loss, scalars: others } = tape.gradients(
          evaluate,
          targets.map(({ parameter }) => traced<Handle>(parameter)),
          { gradient: add, product: (index, a, dy) => add(index, primitives.matMul(a, dy, true, false)) },
        )
        for (const [key, scalar] of Object.entries({ loss, ...others })) {
          const into = new Float32Array(1)
          scalars.set(key, into)
          reads.add(value(scalar), into)
        }
        timed('read', () => reads.finish())
      })
      return Promise.resolve(Object.fromEntries([...scalars].map(([key, [scalar = Number.NaN]]) => [key, scalar])))
    },
    compute: (run) => Promise.resolve(scope(() => timed('read', () => eager.read(value(run()))))),
    hold(run) {
      const kept = scope(
        () => value(run()),
        (handle) => [handle],
      )
      return { tensor: tape.leaf(kept), release: () => eager.release(kept) }
    },
    takesTurns: false,
    mapping: binding,
    tensorCount: () => eager.count,
    deviceUse: () => ({ uploadSeconds: seconds.upload, readSeconds: seconds.read, kernelSeconds: 0, bytes: null }),
  }
}

/** What TensorFlow says of a device, with what to do. After most of it a new process is needed, in which the worker may come back. */
export function inOtherWords(error: unknown, card: string): unknown {
  const [line = ''] = messageOf(error)
    .replace(/^Invalid TF_Status: \d+\s+Message: /, '') // the addon's
    .split('\n')
  const told = line.replaceAll(/\{\{.*?\}\}\s*/g, '') // where it ran, which names the device in any case
  const lost = (what: string) =>
    new RingleaderError('device-lost', `${card} ${what}`, { cause: error, exit: exitCode.temporary })
  if (/no registered '?\w+'? OpKernel|could not satisfy device|No OpKernel was registered/i.test(told))
    return new RingleaderError(
      'missing-kernel',
      `the tensorflow-gpu backend has no kernel for this model (${told}); write --backend tensorflow`,
      { cause: error, exit: exitCode.config },
    )
  if (/\bOOM\b|out.of.memory|failed to allocate|ALLOC_FAILED|Dst tensor is not initialized/i.test(told))
    return lost(`is out of memory: ${told}; write a smaller --batch-size, or --accumulate`)
  if (/CUDA|CUDNN|CUBLAS|Blas \w+ launch|GPU sync|kernel image|launch fail|failed to (launch|enqueue)/i.test(told))
    return lost(`refused a command: ${told}`)
  return error
}
