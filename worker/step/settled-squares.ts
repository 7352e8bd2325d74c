import { blockFloats, blocksOf } from './blocks.ts'
import type { ModelState } from './model-state.ts'
import { blankBlock, squareBlock } from './slices.ts'

/**
 * Sums of squares of a reduced gradient, of each block as soon as all of it is final, while it is in the core's cache: from
 * memory they cost three times as much. The values are those of `squaresOf`, bit for bit.
 */
export class SettledSquares {
  readonly #state: ModelState
  readonly #network: string
  readonly #count: number
  /** Floats of each block that are not final. */
  readonly #missing: number[]
  #blocks: number

  constructor(state: ModelState, network: string) {
    this.#state = state
    this.#network = network
    this.#count = state.network(network).count
    this.#blocks = blocksOf(this.#count)
    this.#missing = Array.from({ length: this.#blocks }, (_, block) => this.#lengthOf(block))
  }

  #lengthOf(block: number): number {
    return Math.min(blockFloats, this.#count - block * blockFloats)
  }

  get complete(): boolean {
    return this.#blocks === 0
  }

  /**
   * These floats of the gradient are final, or 0 and not even to be read; each is told once. What lies before its first is the tail's.
   */
  settled(first: number, count: number, blank = false): void {
    const end = Math.min(first + count, this.#count)
    for (let from = Math.max(0, first); from < end; ) {
      const block = Math.floor(from / blockFloats)
      const until = Math.min(end, (block + 1) * blockFloats)
      const missing = (this.#missing[block] ?? 0) - (until - from)
      this.#missing[block] = missing
      if (missing === 0) {
        if (blank && until - from === this.#lengthOf(block)) blankBlock(this.#state, this.#network, block)
        else squareBlock(this.#state, this.#network, block)
        this.#blocks--
      }
      from = until
    }
  }
}
