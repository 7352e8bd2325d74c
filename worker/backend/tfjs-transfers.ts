import type * as tfjs from '@tensorflow/tfjs'
import type { DeviceUse, ParameterView } from './backend.ts'

/** A tensor, and where its values go. */
export interface Read {
  readonly tensor: tfjs.Tensor
  readonly into: Float32Array
  /** Told once they are there. */
  readonly done?: () => void
}

/** How values travel between the host's memory and an engine's. */
export interface Transfers {
  bind(view: ParameterView): tfjs.Tensor
  /** The tensor that holds a parameter's new weights, in place of one that holds the old ones. */
  refresh(tensor: tfjs.Tensor, view: ParameterView): tfjs.Tensor
  release(tensor: tfjs.Tensor): void
  /** The values may be overwritten afterwards. */
  input(values: Float32Array, shape: readonly number[]): tfjs.Tensor
  read(reads: readonly Read[]): Promise<void>
  /** Runs what computes on a device, perhaps timed; left out where nothing is. */
  evaluate?<T>(run: () => T): T
  /** Left out where nothing travels. */
  use?(): DeviceUse
}

/** Of an engine that computes in the host's memory. */
export function hostTransfers(tf: typeof tfjs): Transfers {
  const bind = ({ weights, shape }: ParameterView) => tf.keep(tf.tensor(weights.slice(), [...shape], 'float32'))
  return {
    bind,
    refresh(tensor, view) {
      tensor.dispose()
      return bind(view)
    },
    release: (tensor) => tensor.dispose(),
    input: (values, shape) => tf.tensor(values, [...shape], 'float32'),
    async read(reads) {
      for (const { tensor, into, done } of reads) {
        into.set((await tensor.data()) as Float32Array)
        done?.()
      }
    },
  }
}
