import { Tape, type Traced, traced } from '../../autodiff/tape.ts'
import type { Backend, BoundParameters, ParameterView, Tensor } from '../backend.ts'
import { type Binding, Eager, type Handle } from './eager.ts'
import { GradientMemory } from './gradient-memory.ts'
import { type MatMulOp, nativePrimitives } from './native-primitives.ts'

/** TensorFlow's CPU kernels, with gradients by our own tape. */
export function makeNativeBackend(binding: Binding, version: string, matMulOp: MatMulOp): Backend {
  const eager = new Eager(binding)
  const primitives = nativePrimitives(eager, matMulOp)
  const tape = new Tape<Handle>(primitives)
  const memory = new GradientMemory(eager)
  const value = (tensor: Tensor) => traced<Handle>(tensor).value
  return {
    name: 'tensorflow',
    version,
    ops: tape,
    bind: (views) => bind(eager, tape, memory, views),
    gradients(evaluate, targets, ready) {
      const scalars = eager.scope(
        () => {
          const parameters = targets.map(({ parameter }) => traced<Handle>(parameter))
          const deliver = (index: number, write: (into: Float32Array) => void) => {
            const target = targets[index]
            if (!target) return
            write(target.gradient)
            ready?.(target)
          }
          const result = tape.gradients(evaluate, parameters, {
            gradient: (index, gradient) => deliver(index, (into) => memory.write(into, gradient)),
            product: (index, a, dy) => deliver(index, (into) => memory.writeProduct(into, a, dy, primitives)),
          })
          const named = Object.entries({ loss: result.loss, ...result.scalars })
          return Object.fromEntries(named.map(([key, scalar]) => [key, eager.read(value(scalar))[0] ?? Number.NaN]))
        },
        () => [],
      )
      return Promise.resolve(scalars)
    },
    compute: (run) =>
      Promise.resolve(
        eager.scope(
          () => eager.read(value(run())),
          () => [],
        ),
      ),
    hold(run) {
      const kept = eager.scope(
        () => value(run()),
        (handle) => [handle],
      )
      return { tensor: tape.leaf(kept), release: () => eager.release(kept) }
    },
    tensorCount: () => eager.count,
  }
}

/** Tensors over the flat weights. TensorFlow computes on that memory itself where `aliases` finds that it does. */
function bind(
  eager: Eager,
  tape: Tape<Handle>,
  memory: GradientMemory,
  views: readonly ParameterView[],
): BoundParameters {
  const aliased = views[0] !== undefined && memory.aliases(views[0].weights)
  const make = (view: ParameterView) => tape.leaf(eager.float(view.weights, view.shape))
  const tensors = new Map<string, Traced<Handle>>(views.map((view) => [view.name, make(view)]))
  const byName = new Map(views.map((view) => [view.name, view]))
  const release = (name: string) => {
    const tensor = tensors.get(name)
    if (tensor) eager.release(tensor.value)
  }
  return {
    tensors,
    aliased,
    refresh(names) {
      if (aliased) return tensors
      for (const name of names) {
        const view = byName.get(name)
        if (!view) continue
        release(name)
        tensors.set(name, make(view))
      }
      return tensors
    },
    dispose() {
      for (const name of tensors.keys()) release(name)
      memory.forget()
    },
  }
}
