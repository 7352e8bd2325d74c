import { assert } from '../../shared/core/errors.ts'
import { bucketsPerPhase } from '../../shared/protocol/frame.ts'
import type { Backend, Factors, Rows } from '../backend/backend.ts'
import { runUpdate, type Update } from '../optimizer/optimizer.ts'
import type { HostGroup } from './group.ts'
import type { FactorRoom, ModelState, ParameterSlot } from './model-state.ts'

/** The factors of the rows of one rank, where each has so many; null where they do not travel. */
export function factorsOf(state: ModelState, parameter: string, rows: number, rank: number): Factors | null {
  const room = state.factors.get(parameter)
  if (!room || [room.inputs, room.outputs].some((extent) => (rows * extent) % 16 !== 0)) return null // each view is aligned
  const part = (offset: number, extent: number) => state.floats(offset + rank * rows * extent * 4, rows * extent)
  return { rows, a: part(room.a, room.inputs), dy: part(room.dy, room.outputs) }
}

/** Where the factors of a parameter belong. */
export interface FactorPlace {
  readonly step: number
  /** Of the phase. */
  readonly index: number
  readonly worldSize: number
  /** Of each rank. */
  readonly rows: number
}

/**
 * The gradient of a wide dense layer over all ranks, as what it is made of. It is aᵀ · dy, where a and dy lie in front of and behind the
 * layer and have a row for each sample; over the rows of all ranks it is the sum of theirs. So the ranks exchange these factors, which are far
 * smaller (sufficient factor broadcasting, Xie et al. 2016, arXiv:1511.08486; Zhang et al. 2017, Poseidon), and each multiplies those of all.
 *
 * The gradient itself is never written. Its norm is known before, ‖aᵀ · dy‖² = Σ (a · aᵀ) ∘ (dy · dyᵀ), so a piece of the product goes into the
 * optimizer while it is in the core's cache. All ranks multiply the same numbers by the same library on one host, so all have the same bits.
 */
export class FactoredGradient {
  readonly slot: ParameterSlot
  readonly #state: ModelState
  readonly #room: FactorRoom
  readonly #factors: Factors
  readonly #gathers: readonly (() => Promise<number>)[]

  /** The factors of this rank's rows are in their room; they leave. */
  constructor(state: ModelState, host: HostGroup, slot: ParameterSlot, { step, index, worldSize, rows }: FactorPlace) {
    const room = state.factors.get(slot.name)
    assert(room, 'factors have room')
    this.slot = slot
    this.#state = state
    this.#room = room
    const all = rows * worldSize
    this.#factors = {
      rows: all,
      a: state.floats(room.a, all * room.inputs),
      dy: state.floats(room.dy, all * room.outputs),
    }
    state.blank(slot)
    const last = (index + 1) * bucketsPerPhase - 1 - 2 * [...state.factors.keys()].indexOf(slot.name)
    this.#gathers = [this.#factors.a, this.#factors.dy].map((factor, which) =>
      host.gather(step, last - which, factor.byteOffset, factor.length),
    )
  }

  /** The factors of all ranks are there. Settles with the bytes sent. */
  async all(): Promise<number> {
    let bytes = 0
    for (const gathered of this.#gathers) bytes += await gathered()
    return bytes
  }

  sumSquares(backend: Backend): number {
    return backend.productSquares?.(this.#factors) ?? Number.NaN
  }

  /** Runs a network's update for the elements of this gradient. */
  update(backend: Backend, update: Update): void {
    const { inputs, outputs, piece, pieceRows } = this.#room
    const first = (this.slot.weights.byteOffset - update.weights) / 4
    const pieces = Array.from({ length: Math.ceil(inputs / pieceRows) }, (_, index) => ({
      start: index * pieceRows,
      count: Math.min(pieceRows, inputs - index * pieceRows),
    }))
    const made = ({ start, count }: Rows) => {
      const before = first + start * outputs
      runUpdate(this.#state.kernel, { ...update, gradient: piece - before * 4 }, before, count * outputs)
    }
    backend.productRows?.(this.#factors, this.#state.floats(piece, pieceRows * outputs), pieces, made)
  }
}
