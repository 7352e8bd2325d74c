import type { Differentiable } from './image-operations.ts'
import type { Primitives, Shaped } from './primitives.ts'
import { sameShape, type Traced } from './traced.ts'

/** a · b, broadcast. */
export function mul<T extends Shaped>(p: Primitives<T>, a: Traced<T>, b: Traced<T>): Differentiable<T> {
  return {
    value: p.mul(a.value, b.value),
    inputs: [a, b],
    backward: (dy) => [
      a.node ? summed(p, p.mul(dy, b.value), a) : null,
      b.node ? summed(p, p.mul(dy, a.value), b) : null,
    ],
  }
}

/** a / b, broadcast. */
export function div<T extends Shaped>(p: Primitives<T>, a: Traced<T>, b: Traced<T>): Differentiable<T> {
  const value = p.div(a.value, b.value)
  return {
    value,
    inputs: [a, b],
    backward(dy) {
      const quotient = p.div(dy, b.value)
      return [a.node ? summed(p, quotient, a) : null, b.node ? p.neg(summed(p, p.mul(quotient, value), b)) : null]
    },
  }
}

/** The gradient of what was broadcast. */
function summed<T extends Shaped>(p: Primitives<T>, gradient: T, { shape }: Traced<T>): T {
  return sameShape(gradient.shape, shape) ? gradient : p.sumTo(gradient, shape)
}

export function sqrt<T extends Shaped>(p: Primitives<T>, a: Traced<T>): Differentiable<T> {
  const value = p.sqrt(a.value)
  return { value, inputs: [a], backward: (dy) => [p.div(p.scale(dy, 0.5), value)] }
}

export function leakyRelu<T extends Shaped>(p: Primitives<T>, a: Traced<T>): Differentiable<T> {
  return { value: p.leakyRelu(a.value), inputs: [a], backward: (dy) => [p.leakyReluGradient(dy, a.value)] }
}

export function sumTo<T extends Shaped>(p: Primitives<T>, a: Traced<T>, shape: readonly number[]): Differentiable<T> {
  return { value: p.sumTo(a.value, shape), inputs: [a], backward: (dy) => [spread(p, dy, a.shape)] }
}

/** `a` in every place of `shape` that it is broadcast to. */
function spread<T extends Shaped>(p: Primitives<T>, a: T, shape: readonly number[]): T {
  return p.add(p.fill(p.input(Float32Array.of(0), []), shape), a)
}

/**
 * Layer normalisation (Ba et al. 2016, eq. 3 and 4): n = (x − m) / d over all values of a sample, d = √(variance + 1e-5), then scale · n +
 * offset by channel. With g = scale · dy and means over a sample, d loss / d x = (g − mean(g) − n · mean(g · n)) / d.
 */
export function layerNorm<T extends Shaped>(
  p: Primitives<T>,
  x: Traced<T>,
  scale: Traced<T>,
  offset: Traced<T>,
): Differentiable<T> {
  const values = x.shape.slice(1).reduce((product, extent) => product * extent, 1)
  const one = [x.shape[0] ?? 0, ...x.shape.slice(1).map(() => 1)]
  const mean = (a: T) => p.scale(p.sumTo(a, one), 1 / values)
  const centered = p.sub(x.value, mean(x.value))
  const squares = p.square(centered)
  const deviation = p.sqrt(p.add(mean(squares), p.input(Float32Array.of(1e-5), [1])))
  const normal = p.div(centered, deviation)
  const scaled = p.mul(normal, scale.value)
  const value = p.add(scaled, offset.value)
  for (const passed of [centered, squares, scaled]) p.free(passed)
  return {
    value,
    inputs: [x, scale, offset],
    backward(dy) {
      const along = p.mul(dy, normal)
      const gradientOfX = () => {
        const g = p.mul(dy, scale.value)
        const common = p.add(mean(g), p.mul(normal, mean(p.mul(along, scale.value))))
        return p.div(p.sub(g, common), deviation)
      }
      return [
        x.node ? gradientOfX() : null,
        scale.node ? summed(p, along, scale) : null,
        offset.node ? summed(p, dy, offset) : null,
      ]
    },
  }
}

export function concatColumns<T extends Shaped>(p: Primitives<T>, a: Traced<T>, b: Traced<T>): Differentiable<T> {
  const [first, second] = [a.shape.at(-1) ?? 0, b.shape.at(-1) ?? 0]
  return {
    value: p.concatColumns(a.value, b.value),
    inputs: [a, b],
    backward: (dy) => [a.node ? p.columns(dy, 0, first) : null, b.node ? p.columns(dy, first, second) : null],
  }
}

export function concatRows<T extends Shaped>(p: Primitives<T>, a: Traced<T>, b: Traced<T>): Differentiable<T> {
  const [first, second] = [a.shape[0] ?? 0, b.shape[0] ?? 0]
  return {
    value: p.concatRows(a.value, b.value),
    inputs: [a, b],
    backward: (dy) => [a.node ? p.rows(dy, 0, first) : null, b.node ? p.rows(dy, first, second) : null],
  }
}

export function columns<T extends Shaped>(
  p: Primitives<T>,
  a: Traced<T>,
  start: number,
  count: number,
): Differentiable<T> {
  const all = a.shape.at(-1) ?? 0
  const zeros = (width: number) => p.fill(p.input(Float32Array.of(0), []), [...a.shape.slice(0, -1), width])
  return {
    value: p.columns(a.value, start, count),
    inputs: [a],
    backward(dy) {
      const after = all - start - count
      const behind = after > 0 ? p.concatColumns(dy, zeros(after)) : dy
      return [start > 0 ? p.concatColumns(zeros(start), behind) : behind]
    },
  }
}
