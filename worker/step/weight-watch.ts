import type { RunConfig } from '../../shared/core/config.ts'
import { sparsityOf } from '../optimizer/pruning.ts'
import { blockFloats, blocksOf } from './blocks.ts'
import type { ModelState, NetworkState } from './model-state.ts'

/** Steps between two looks at the weights, each of which reads them three times and writes them once. */
export const weightsEvery = 20

/**
 * How large the weights of each network are and how much of that a step moves: ‖w‖₂ and ‖w′ − w‖₂ / ‖w‖₂, which is about 1e-3 where
 * the rate fits (Karpathy, CS231n, "Ratio of weights:updates"); and how much of a pruned one is zero. Every few steps, the same on every rank.
 */
export class WeightWatch {
  readonly #config: RunConfig
  readonly #state: ModelState
  #watches = false

  constructor(config: RunConfig, state: ModelState) {
    this.#config = config
    this.#state = state
  }

  /** Before the first update of step number `step`. The weights go where a backup of this step has them too. */
  begin(step: number): void {
    this.#watches = step % weightsEvery === 0
    if (!this.#watches) return
    for (const { backup, weights, count } of this.#state.networks.values())
      this.#state.floats(backup, count).set(this.#state.floats(weights, count))
  }

  /** After the last update, once the step cannot fail any more: the backup's weights are overwritten. */
  end(): Record<string, number> {
    if (!this.#watches) return {}
    return Object.fromEntries([...this.#state.networks.values()].flatMap((network) => this.#measure(network)))
  }

  #measure({ name, backup, weights, count }: NetworkState): [string, number][] {
    const { kernel } = this.#state
    const squares = { before: 0, after: 0, moved: 0 }
    for (let block = 0; block < blocksOf(count); block++) {
      const offset = block * blockFloats * 4
      const floats = Math.min(blockFloats, count - block * blockFloats)
      squares.before += kernel.sumSquares(backup + offset, floats)
      squares.after += kernel.sumSquares(weights + offset, floats)
      kernel.scale(backup + offset, floats, -1)
      kernel.add(backup + offset, weights + offset, floats)
      squares.moved += kernel.sumSquares(backup + offset, floats)
    }
    const sparsity = sparsityOf(this.#config, this.#state, name)
    return [
      ...(sparsity === null ? [] : [[`${name}Sparsity`, sparsity] as [string, number]]),
      [`${name}WeightNorm`, Math.sqrt(squares.after)],
      [`${name}UpdateRatio`, squares.before > 0 ? Math.sqrt(squares.moved / squares.before) : 0],
    ]
  }
}
