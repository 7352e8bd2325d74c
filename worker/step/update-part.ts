import type { Backend } from '../backend/backend.ts'
import { runUpdate, type Update } from '../optimizer/optimizer.ts'
import { squaresOfProduct, updateByProduct, type WideGradient, wideSlice } from './factors.ts'
import type { ModelState } from './model-state.ts'
import { sliceOf, squaresOf } from './slices.ts'

interface Squares {
  readonly network: string
  /** Those of the blocks are there. */
  readonly known: boolean
  /** Gradients that are not written, in the order of the weights. */
  readonly wide: readonly WideGradient[]
}

/** What thread `number` of so many has of the sum of squares of a network's gradient. */
export function squaresPart(
  state: ModelState,
  backend: Backend,
  { network, known, wide }: Squares,
  number: number,
  threads: number,
): void {
  const blank = wide.map((gradient) => wideSlice(state, gradient))
  if (!known) squaresOf(state, network, number, threads, blank)
  for (const gradient of wide) squaresOfProduct(state, backend, gradient, number, threads)
}

/** What thread `number` of so many has of a network's update. */
export function updatePart(
  state: ModelState,
  backend: Backend,
  { update, wide }: { readonly update: Update; readonly wide: readonly WideGradient[] },
  number: number,
  threads: number,
): void {
  let done = 0
  const written = (until: number) => {
    const { first, count } = sliceOf(until - done, number, threads)
    if (count > 0) runUpdate(state.kernel, update, done + first, count)
  }
  for (const gradient of wide) {
    const { first, count } = wideSlice(state, gradient)
    written(first)
    updateByProduct(state, backend, update, gradient, number, threads)
    done = first + count
  }
  written(update.count)
}
