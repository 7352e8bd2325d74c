import { readFileSync } from 'node:fs'
import { Tape } from '../../autodiff/tape.ts'
import { traced } from '../../autodiff/traced.ts'
import type { Backend, GradientTarget, Tensor } from '../backend.ts'
import { bindParameters } from './bind-parameters.ts'
import { type Binding, Eager, type Handle } from './eager.ts'
import { GradientMemory } from './gradient-memory.ts'
import { type JoinedParameters, nativePrimitives, type Products } from './native-primitives.ts'

/** TensorFlow's CPU kernels, with gradients by our own tape. */
export function makeNativeBackend(binding: Binding, version: string): Backend {
  const eager = new Eager(binding)
  const joined: JoinedParameters = new Map()
  const product: Products = { op: 'MatMul', narrowConvolutions: false }
  const primitives = nativePrimitives(eager, product, joined)
  const tape = new Tape<Handle>(primitives)
  const memory = new GradientMemory(eager)
  const value = (tensor: Tensor) => traced<Handle>(tensor).value
  /** Writes what the tape finds to where it belongs. */
  const sink = <G extends GradientTarget>(
    targets: readonly G[],
    ready: (target: G) => void,
    factored: (target: G) => void,
  ) => {
    const some = (...indices: (number | undefined)[]) =>
      indices.flatMap((index) => (index === undefined ? [] : (targets[index] ?? [])))
    return {
      gradient(index: number, gradient: Handle) {
        for (const target of some(index)) {
          memory.write(target.gradient, gradient, target.turns)
          ready(target)
        }
      },
      product(index: number, a: Handle, dy: Handle, bias?: number) {
        const written = some(index, bias)
        const [kernel] = written
        if (kernel?.factors && bias === undefined && memory.writeFactors(kernel.factors, a, dy)) return factored(kernel)
        memory.writeProduct(written, a, dy, primitives)
        for (const target of written) ready(target)
      },
    }
  }
  return {
    name: 'tensorflow',
    version,
    ops: tape,
    useMath(math) {
      const narrow = math === 'bf16' && multipliesBfloat16()
      if (narrow) process.env.ONEDNN_DEFAULT_FPMATH_MODE = 'BF16' // read at oneDNN's first product
      product.op = narrow ? 'BatchMatMulV2' : 'MatMul'
      product.narrowConvolutions = narrow
      return narrow ? 'bf16' : 'fp32'
    },
    bind: (views) => bindParameters({ eager, tape, memory, joined }, views),
    gradients(evaluate, targets, ready = () => {}, factored = () => {}) {
      const scalars = eager.scope(
        () => {
          const parameters = targets.map(({ parameter }) => traced<Handle>(parameter))
          const { loss, scalars: others } = tape.gradients(evaluate, parameters, sink(targets, ready, factored))
          const named = Object.entries({ loss, ...others })
          return Object.fromEntries(named.map(([key, scalar]) => [key, eager.read(value(scalar))[0] ?? Number.NaN]))
        },
        () => [],
      )
      return Promise.resolve(scalars)
    },
    productRows: (factors, into, pieces, made) =>
      eager.scope(
        () => memory.productRows(factors, into, pieces, made, primitives),
        () => [],
      ),
    productSquares: (factors, rows) =>
      eager.scope(
        () => memory.productSquares(factors, rows, primitives),
        () => [],
      ),
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
    takesTurns: true,
    tensorCount: () => eager.count,
    mapping: binding,
  }
}

/** Without AMX oneDNN multiplies in float32 all the same, its convolutions in bfloat16 take longer, and casts cost more than they bring. */
function multipliesBfloat16(): boolean {
  try {
    return / amx_bf16 /.test(readFileSync('/proc/cpuinfo', 'utf8'))
  } catch {
    return false // no Linux
  }
}
