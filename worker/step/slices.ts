import { blockFloats, blocksOf } from './blocks.ts'
import { type ModelState, tail } from './model-state.ts'

/** Floats of a network. */
export interface Slice {
  readonly first: number
  readonly count: number
}

/** The part of `count` floats that thread `number` of so many has: a multiple of 16, but the last. */
export function sliceOf(count: number, number: number, threads: number): Slice {
  const edge = (index: number) =>
    index === threads ? count : Math.min(count, Math.ceil((index * count) / threads / 16) * 16)
  const first = edge(number)
  return { first, count: edge(number + 1) - first }
}

/** Blocks [first, last) of a gradient that thread `number` has. */
function blockRange(count: number, number: number, threads: number): { readonly first: number; readonly last: number } {
  const edge = (index: number) => Math.ceil((index * blocksOf(count)) / threads)
  return { first: edge(number), last: edge(number + 1) }
}

/**
 * Adds what the threads have computed of a network's gradient into the first part, in their order; the tail is thread 0's. `squares`:
 * and tells the sums of squares, while a block is in the cache.
 */
export function addPieces(
  state: ModelState,
  { network, pieces, squares }: { network: string; pieces: number; squares: boolean },
  number: number,
  threads: number,
): void {
  const { gradients, count } = state.network(network)
  const [sum = 0, ...others] = gradients.slice(0, pieces)
  const add = (float: number, floats: number) => {
    for (const other of others) state.kernel.add(sum + float * 4, other + float * 4, floats)
  }
  if (number === 0) addTails(state, network, pieces)
  const { first, last } = blockRange(count, number, threads)
  for (let block = first; block < last; block++) {
    add(block * blockFloats, Math.min(blockFloats, count - block * blockFloats))
    if (squares) squareBlock(state, network, block)
  }
}

/** What lies in front of the gradients. */
export function addTails(state: ModelState, network: string, pieces: number): void {
  const [sum = 0, ...others] = state.network(network).gradients.slice(0, pieces)
  for (const other of others) state.kernel.add(sum - tail.floats * 4, other - tail.floats * 4, tail.floats)
}

/**
 * Sums of squares of the blocks that thread `number` has to their places; added up block by block, whoever has computed them. `blank`: floats
 * that are 0 and need not be read.
 */
export function squaresOf(
  state: ModelState,
  network: string,
  number: number,
  threads: number,
  blank: readonly Slice[] = [],
): void {
  const { count } = state.network(network)
  const { first, last } = blockRange(count, number, threads)
  for (let block = first; block < last; block++) {
    const [start, end] = [block * blockFloats, Math.min(count, (block + 1) * blockFloats)]
    if (blank.some((slice) => slice.first <= start && end <= slice.first + slice.count))
      blankBlock(state, network, block)
    else squareBlock(state, network, block)
  }
}

/** Sum of squares of a block to its place. */
export function squareBlock(state: ModelState, network: string, block: number): void {
  const { gradients, count, squares } = state.network(network)
  const float = block * blockFloats
  const sum = state.kernel.sumSquares((gradients[0] ?? 0) + float * 4, Math.min(blockFloats, count - float))
  new Float64Array(state.memory.buffer, squares, blocksOf(count))[block] = sum
}

/** The same of a block that is 0. */
export function blankBlock(state: ModelState, network: string, block: number): void {
  const { count, squares } = state.network(network)
  new Float64Array(state.memory.buffer, squares, blocksOf(count))[block] = 0
}

/** Of the squares of a gradient, once all blocks have theirs. */
export function sumOfSquares(state: ModelState, name: string): number {
  const { count, squares } = state.network(name)
  const sums = new Float64Array(state.memory.buffer, squares, blocksOf(count))
  return sums.reduce((sum, square) => sum + square, 0)
}
