import { assert } from '../../shared/core/errors.ts'
import type { Pooling, Strided } from '../backend/backend.ts'
import type { Primitives, Shaped } from './primitives.ts'
import type { Traced } from './traced.ts'

/** A value, and the way back from it. */
export interface Differentiable<T extends Shaped> {
  readonly value: T
  readonly inputs: readonly Traced<T>[]
  /** d loss / d input, null where none is wanted, given d loss / d value. */
  backward(dy: T): readonly (T | null)[]
}

/**
 * A convolution, the gradient of its input and the gradient of its kernel are one trilinear form Σ dy · conv(x, k) seen from
 * its three sides, so the gradients of each are the other two.
 */
export function conv2d<T extends Shaped>(
  p: Primitives<T>,
  x: Traced<T>,
  kernel: Traced<T>,
  strided: Strided,
): Differentiable<T> {
  return {
    value: p.conv2d(x.value, kernel.value, strided),
    inputs: [x, kernel],
    backward: (dy) => [
      x.node ? p.conv2dInputGradient(dy, kernel.value, strided, x.shape) : null,
      kernel.node ? p.conv2dKernelGradient(dy, x.value, strided, kernel.shape) : null,
    ],
  }
}

export function conv2dTranspose<T extends Shaped>(
  p: Primitives<T>,
  x: Traced<T>,
  kernel: Traced<T>,
  strided: Strided,
): Differentiable<T> {
  const [rows = 0, height = 0, width = 0] = x.shape
  const [kernelHeight = 0, kernelWidth = 0, channels = 0] = kernel.shape
  const extent = (size: number, window: number) =>
    strided.padding === 'same' ? size * strided.stride : (size - 1) * strided.stride + window
  const shape = [rows, extent(height, kernelHeight), extent(width, kernelWidth), channels]
  assert(x.shape.length === 4 && kernel.shape.length === 4, 'convolutions take images [rows, height, width, channels]')
  return {
    value: p.conv2dInputGradient(x.value, kernel.value, strided, shape),
    inputs: [x, kernel],
    backward: (dy) => [
      x.node ? p.conv2d(dy, kernel.value, strided) : null,
      kernel.node ? p.conv2dKernelGradient(x.value, dy, strided, kernel.shape) : null,
    ],
  }
}

export function maxPool<T extends Shaped>(p: Primitives<T>, x: Traced<T>, pooling: Pooling): Differentiable<T> {
  const value = p.maxPool(x.value, pooling)
  return { value, inputs: [x], backward: (dy) => [p.maxPoolGradient(dy, x.value, value, pooling)] }
}

export function avgPool<T extends Shaped>(p: Primitives<T>, x: Traced<T>, pooling: Pooling): Differentiable<T> {
  return {
    value: p.avgPool(x.value, pooling),
    inputs: [x],
    backward: (dy) => [p.avgPoolGradient(dy, x.shape, pooling)],
  }
}
