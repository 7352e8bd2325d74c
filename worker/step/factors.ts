import { assert } from '../../shared/core/errors.ts'
import { bucketsPerPhase } from '../../shared/protocol/frame.ts'
import type { Backend, Factors, Rows } from '../backend/backend.ts'
import { runUpdate, type Update } from '../optimizer/optimizer.ts'
import type { HostGroup } from './group.ts'
import type { FactorRoom, ModelState, ParameterSlot } from './model-state.ts'
import type { Slice } from './slices.ts'

/** Places for the factors of rows [start, start + count) of the batch; null where they do not travel. */
export function factorsOf(state: ModelState, parameter: string, { start, count }: Rows): Factors | null {
  const room = state.factors.get(parameter)
  if (!room) return null
  const part = (offset: number, extent: number) => state.floats(offset + start * extent * 4, count * extent)
  return { rows: count, a: part(room.a, room.inputs), dy: part(room.dy, room.outputs) }
}

/**
 * The gradient of a wide dense layer over all ranks, as what it is made of. It is aᵀ · dy, where a and dy lie in front of and behind the
 * layer and have a row for each sample; over the rows of all ranks it is the sum of theirs. So the ranks exchange these factors, which are far
 * smaller (sufficient factor broadcasting, Xie et al. 2016, arXiv:1511.08486; Zhang et al. 2017, Poseidon), and each multiplies those of all.
 *
 * The gradient itself is never written. Its norm is known before, ‖aᵀ · dy‖² = Σ (a · aᵀ) ∘ (dy · dyᵀ), so a piece of the product goes into the
 * optimizer while it is in the core's cache. All ranks multiply the same numbers by the same library on one host, so all have the same bits; and
 * a piece is the same product, whichever thread makes it.
 */
export interface WideGradient {
  readonly parameter: string
  /** Of all ranks. */
  readonly rows: number
}

/** The floats of its network that it would fill. */
export function wideSlice(state: ModelState, { parameter }: WideGradient): Slice {
  const { slot } = placeOf(state, parameter)
  return { first: (slot.weights.byteOffset - state.network(slot.network).weights) / 4, count: slot.size }
}

/** Where the factors of a parameter belong. */
export interface FactorPlace {
  readonly step: number
  /** Of the phase. */
  readonly index: number
  /** Of each rank. */
  readonly rows: readonly number[]
}

/** The factors of this rank's rows are in their room; they leave. Call the result to wait for the others', and to hear of the bytes sent. */
export function gatherFactors(
  state: ModelState,
  host: HostGroup,
  parameter: string,
  { step, index, rows }: FactorPlace,
): () => Promise<number> {
  const { slot, room } = placeOf(state, parameter)
  state.blank(slot)
  const last = (index + 1) * bucketsPerPhase - 1 - 2 * [...state.factors.keys()].indexOf(parameter)
  const factors = [
    { offset: room.a, extent: room.inputs },
    { offset: room.dy, extent: room.outputs },
  ]
  const gathers = factors.map(({ offset, extent }, which) =>
    host.gather(
      ...([step, last - which, offset] as const),
      rows.map((count) => count * extent),
    ),
  )
  return async () => {
    let bytes = 0
    for (const gathered of gathers) bytes += await gathered()
    return bytes
  }
}

/** Strips of rows of a · aᵀ and dy · dyᵀ, which are symmetric: of each strip what lies right of its diagonal. The first and the last cost as much as two between. */
const strips = 4

/** Sums of squares of the strips that thread `number` has to their places. */
export function squaresOfProduct(
  state: ModelState,
  backend: Backend,
  { parameter, rows }: WideGradient,
  number: number,
  threads: number,
): void {
  const { room } = placeOf(state, parameter)
  const sums = stripSums(state, room)
  const factors = allFactors(state, room, rows)
  const edge = (strip: number) => Math.min(rows, strip * Math.ceil(rows / strips / 16) * 16)
  for (let strip = 0; strip < strips; strip++) {
    if (Math.min(strip, strips - 1 - strip) % threads !== number) continue
    const [start, count] = [edge(strip), edge(strip + 1) - edge(strip)]
    sums[strip] = count > 0 ? (backend.productSquares?.(factors, { start, count }) ?? Number.NaN) : 0
  }
}

/** ‖aᵀ · dy‖², once all strips are there. */
export function sumOfProduct(state: ModelState, { parameter }: WideGradient): number {
  const sum = stripSums(state, placeOf(state, parameter).room).reduce((total, part) => total + part, 0)
  return Math.max(0, sum) // rounding of nearly nothing
}

/** Runs a network's update for what thread `number` has of this gradient. */
export function updateByProduct(
  state: ModelState,
  backend: Backend,
  update: Update,
  gradient: WideGradient,
  number: number,
  threads: number,
): void {
  const { inputs, outputs, pieces, pieceRows, ...room } = placeOf(state, gradient.parameter).room
  const { first } = wideSlice(state, gradient)
  const piece = pieces[number % pieces.length] ?? 0 // a rank that makes a part of all ranks' has rooms of its own
  const count = Math.ceil(inputs / pieceRows)
  const edge = (index: number) => Math.ceil((index * count) / threads)
  const own = Array.from({ length: edge(number + 1) - edge(number) }, (_, index) => {
    const start = (edge(number) + index) * pieceRows
    return { start, count: Math.min(pieceRows, inputs - start) }
  })
  const made = (part: Rows) => {
    const before = first + part.start * outputs
    runUpdate(state.kernel, { ...update, gradient: piece - before * 4 }, before, part.count * outputs)
  }
  const factors = allFactors(state, { inputs, outputs, ...room }, gradient.rows)
  backend.productRows?.(factors, state.floats(piece, pieceRows * outputs), own, made)
}

function placeOf(state: ModelState, parameter: string): { readonly slot: ParameterSlot; readonly room: FactorRoom } {
  const slot = state.slots.find(({ name }) => name === parameter)
  const room = state.factors.get(parameter)
  assert(slot && room, 'factors have room')
  return { slot, room }
}

function allFactors(
  state: ModelState,
  { inputs, outputs, a, dy }: Pick<FactorRoom, 'inputs' | 'outputs' | 'a' | 'dy'>,
  rows: number,
): Factors {
  return { rows, a: state.floats(a, rows * inputs), dy: state.floats(dy, rows * outputs) }
}

function stripSums(state: ModelState, { squares }: FactorRoom): Float64Array {
  return new Float64Array(state.memory.buffer, squares, strips)
}
