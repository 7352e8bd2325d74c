import type { Tape } from '../../autodiff/tape.ts'
import type { Traced } from '../../autodiff/traced.ts'
import type { BoundParameters, ParameterView } from '../backend.ts'
import { boundTensors } from '../bound-tensors.ts'
import type { Eager, Handle } from './eager.ts'
import { behindEachOther, type GradientMemory, isAligned } from './gradient-memory.ts'
import type { JoinedParameters } from './native-primitives.ts'

interface Parts {
  readonly eager: Eager
  readonly tape: Tape<Handle>
  readonly memory: GradientMemory
  readonly joined: JoinedParameters
}

/** Tensors over the flat weights. TensorFlow computes on that memory itself where `aliases` finds that it does. */
export function bindParameters(
  { eager, tape, memory, joined }: Parts,
  views: readonly ParameterView[],
): BoundParameters {
  const aliased = views[0] !== undefined && isAliased(eager, views[0].weights)
  const make = (view: ParameterView) => tape.leaf(eager.float(view.weights, view.shape))
  const release = ({ value }: Traced<Handle>) => eager.release(value)
  let renewed = false
  const renew = (tensor: Traced<Handle>, view: ParameterView) => {
    renewed = true
    release(tensor)
    return make(view)
  }
  const bound = boundTensors(views, aliased, { make, renew, release })
  const join = () => {
    const matrices = aliased ? joinedMatrices(eager, views, bound.tensors) : []
    for (const { kernel, bias, matrix } of matrices) joined.set(kernel, { matrix, bias })
    return matrices
  }
  const part = () => {
    for (const { kernel, matrix } of matrices) {
      joined.delete(kernel)
      eager.release(matrix)
    }
  }
  let matrices = join()
  return {
    ...bound,
    refresh(names) {
      bound.refresh(names)
      if (aliased && renewed) {
        part()
        matrices = join()
        renewed = false
      }
      return bound.tensors
    },
    dispose() {
      part()
      bound.dispose()
      memory.forget()
    },
  }
}

/** A kernel [in, out] with the bias [out] right behind it is a matrix [in + 1, out] too. */
function joinedMatrices(
  eager: Eager,
  views: readonly ParameterView[],
  tensors: ReadonlyMap<string, Traced<Handle>>,
): { kernel: number; bias: number; matrix: Handle }[] {
  return views.flatMap((view, index) => {
    const next = views[index + 1]
    const [inputs = 0, outputs = 0] = view.shape
    const [kernel, bias] = [tensors.get(view.name), tensors.get(next?.name ?? '')]
    if (!next || !kernel || !bias || view.shape.length !== 2 || next.shape.length !== 1) return []
    const whole = next.shape[0] === outputs ? behindEachOther(view.weights, next.weights) : null
    if (!whole) return []
    return [{ kernel: kernel.value.id, bias: bias.value.id, matrix: eager.float(whole, [inputs + 1, outputs]) }]
  })
}

/**
 * Whether TensorFlow computes on this memory. tfjs-node hands it the memory of a typed array; where that is a 64-byte aligned view of a
 * shared wasm memory TensorFlow uses it as it is. Nothing promises that, so it is tried out.
 */
function isAliased(eager: Eager, values: Float32Array): boolean {
  if (!isAligned(values) || values.length === 0) return false
  const kept = values[0] ?? 0
  try {
    return eager.scope(
      () => {
        values[0] = 1
        const tensor = eager.float(values.subarray(0, 1), [1])
        values[0] = 3
        const [read = 0] = eager.read(eager.run('Mul', [tensor.id, eager.constant('float', [2], [1])]))
        return read === 6
      },
      () => [],
    )
  } finally {
    values[0] = kept
  }
}
