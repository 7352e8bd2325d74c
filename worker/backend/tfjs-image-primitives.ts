import type * as tfjs from '@tensorflow/tfjs'
import type { Primitives } from '../autodiff/primitives.ts'
import type { Strided } from './backend.ts'

type ImagePrimitives = Pick<
  Primitives<tfjs.Tensor>,
  | 'conv2d'
  | 'conv2dInputGradient'
  | 'conv2dKernelGradient'
  | 'maxPool'
  | 'maxPoolGradient'
  | 'avgPool'
  | 'avgPoolGradient'
>

/**
 * Images as [rows, height, width, channels]. wasm has no kernels for the gradients of kernels and of pooling, so they are put
 * together from what every engine has: windows are taken apart into one strided slice for each of their places.
 */
export function tfjsImagePrimitives(tf: typeof tfjs, matMul: Primitives<tfjs.Tensor>['matMul']): ImagePrimitives {
  const images = (a: tfjs.Tensor) => a as tfjs.Tensor4D

  const conv2dInputGradient: ImagePrimitives['conv2dInputGradient'] = (dy, kernel, { stride, padding }, shape) =>
    tf.conv2dTranspose(images(dy), images(kernel), shape as [number, number, number, number], stride, padding)

  /** What lies at place (i, j) of each window, [rows, windows down, windows across, channels]. */
  const places = (
    x: tfjs.Tensor,
    [height, width]: readonly [number, number],
    strided: Strided,
    around: number,
  ): tfjs.Tensor4D[] => {
    const { stride } = strided
    const [rows = 0, down = 0, across = 0, channels = 0] = x.shape
    const vertical = windowsOf(down, height, strided)
    const horizontal = windowsOf(across, width, strided)
    const padded = tf.pad(x, [[0, 0], vertical.around, horizontal.around, [0, 0]], around)
    return Array.from({ length: height * width }, (_, place) => {
      const [i, j] = [Math.floor(place / width), place % width]
      const end = [rows, i + (vertical.count - 1) * stride + 1, j + (horizontal.count - 1) * stride + 1, channels]
      return images(tf.stridedSlice(padded, [0, i, j, 0], end, [1, stride, stride, 1]))
    })
  }

  /** The opposite of `places`: each place of each window added to where it lies in images of this shape. */
  const putBack = (parts: readonly tfjs.Tensor4D[], size: number, strided: Strided, shape: readonly number[]) => {
    const channels = shape[3] ?? 0
    const eye = tf.eye(size * size * channels)
    return conv2dInputGradient(
      tf.concat([...parts], 3),
      tf.reshape(eye, [size, size, channels, size * size * channels]),
      strided,
      shape,
    )
  }

  return {
    conv2d: (x, kernel, { stride, padding }) => tf.conv2d(images(x), images(kernel), stride, padding),
    conv2dInputGradient,
    conv2dKernelGradient(dy, x, strided, shape) {
      const [height = 1, width = 1, inputs = 1, outputs = 1] = shape
      const slopes = tf.reshape(dy, [-1, outputs])
      const products = places(x, [height, width], strided, 0).map((place) =>
        matMul(tf.reshape(place, [-1, inputs]), slopes, true, false),
      )
      return tf.reshape(tf.stack(products), [...shape])
    },
    maxPool: (x, { size, stride, padding }) => tf.maxPool(images(x), size, stride, padding),
    maxPoolGradient(dy, x, y, pooling) {
      let free: tfjs.Tensor = tf.onesLike(y)
      const parts = places(x, [pooling.size, pooling.size], pooling, Number.NEGATIVE_INFINITY).map((place) => {
        const hit = tf.mul(tf.cast(tf.equal(place, y), 'float32'), free)
        free = tf.sub(free, hit)
        return images(tf.mul(hit, dy))
      })
      return putBack(parts, pooling.size, pooling, x.shape)
    },
    avgPool: (x, { size, stride, padding }) => tf.avgPool(images(x), size, stride, padding),
    avgPoolGradient(dy, shape, pooling) {
      const [, height = 0, width = 0] = shape
      const { size } = pooling
      const inside = places(tf.ones([1, height, width, 1]), [size, size], pooling, 0)
      const share = tf.div(dy, tf.addN(inside)) // [rows, …, channels] by [1, …, 1]
      return putBack(
        inside.map((is) => images(tf.mul(share, is))),
        size,
        pooling,
        shape,
      )
    },
  }
}

/** Number of windows along an axis, and the padding before and after it (TensorFlow's rule: the odd one after). */
function windowsOf(extent: number, size: number, { stride, padding }: Strided) {
  if (padding === 'valid')
    return { count: Math.floor((extent - size) / stride) + 1, around: [0, 0] satisfies [number, number] }
  const count = Math.ceil(extent / stride)
  const missing = Math.max((count - 1) * stride + size - extent, 0)
  const before = Math.floor(missing / 2)
  return { count, around: [before, missing - before] satisfies [number, number] }
}
