import type { Primitives } from '../../autodiff/primitives.ts'
import { type Factors, type GradientTarget, type Rows, turnsEach } from '../backend.ts'
import type { Eager, Handle } from './eager.ts'

/** Where a gradient goes. */
type Place = Pick<GradientTarget, 'gradient' | 'turns'>
type Turns = NonNullable<GradientTarget['turns']>

/** Bytes of a piece of a large product: small enough to be written on from a cache, large enough for a full-speed product. */
const pieceBytes = 2 << 20

/** Writes gradients into the flat buffer, large ones in pieces that are still in a cache. Where two threads write, the second of them adds. */
export class GradientMemory {
  readonly #eager: Eager
  readonly #joined = new Map<Float32Array, Float32Array | null>()

  constructor(eager: Eager) {
    this.#eager = eager
  }

  /** `turns`: another thread adds to the same place. */
  write(into: Float32Array, gradient: Handle, turns?: Turns): void {
    this.#put(into, gradient, turns, 0)
  }

  /**
   * aᵀ · dy, large ones in pieces of rows: columns of `a` [rows, n], dy [rows, m], into [n, m]; the last row goes to the second
   * place where there are two.
   */
  writeProduct(targets: readonly Place[], a: Handle, dy: Handle, p: Primitives<Handle>): void {
    const [first = new Float32Array(0), second] = targets.map(({ gradient }) => gradient)
    const turns = targets.map((target) => target.turns)
    const into = second ? this.#whole(first, second) : first
    const [, n = 0] = a.shape
    if (!into) {
      const both = p.matMul(a, dy, true, false)
      this.write(first, p.rows(both, 0, n - 1), turns[0])
      return this.write(second ?? first, p.sumTo(p.rows(both, n - 1, 1), [dy.shape[1] ?? 0]), turns[1])
    }
    const m = dy.shape[1] ?? 0
    const leastRows = Math.ceil(n / turnsEach / 16) * 16
    const pieceRows = Math.max(16, leastRows, Math.floor(pieceBytes / 4 / m / 16) * 16)
    if (n < 2 * pieceRows) return this.write(into, p.matMul(a, dy, true, false), turns[0])
    for (let start = 0; start < n; start += pieceRows) {
      const size = Math.min(pieceRows, n - start)
      const columns = this.#columns(a, start, size)
      const product = p.matMul(columns, dy, true, false)
      this.#put(into.subarray(start * m, (start + size) * m), product, turns[0], start / pieceRows)
      this.#eager.free(columns)
      this.#eager.free(product)
    }
  }

  /** False where they are of another shape than is wanted. */
  writeFactors({ rows, a: intoA, dy: intoDy }: Factors, a: Handle, dy: Handle): boolean {
    if (a.shape[0] !== rows) return false
    if (rows * (a.shape[1] ?? 0) !== intoA.length || rows * (dy.shape[1] ?? 0) !== intoDy.length) return false
    this.#eager.copy(a, intoA)
    this.#eager.copy(dy, intoDy)
    return true
  }

  /** As Backend.productRows. */
  productRows(
    { rows, ...factors }: Factors,
    into: Float32Array,
    pieces: readonly Rows[],
    made: (piece: Rows) => void,
    p: Primitives<Handle>,
  ): void {
    const eager = this.#eager
    const [n, m] = [factors.a.length / rows, factors.dy.length / rows]
    const a = eager.float(factors.a, [rows, n])
    const dy = eager.float(factors.dy, [rows, m])
    for (const piece of pieces) {
      const { start, count } = piece
      const columns = this.#columns(a, start, count)
      const product = p.matMul(columns, dy, true, false)
      eager.copy(product, into.subarray(0, count * m))
      for (const handle of [columns, product]) eager.free(handle)
      made(piece)
    }
  }

  /** As Backend.productSquares. */
  productSquares({ rows, ...factors }: Factors, { start, count }: Rows, p: Primitives<Handle>): number {
    const right = rows - start
    const gram = (values: Float32Array) => {
      const extent = values.length / rows
      const from = values.subarray(start * extent)
      const strip = this.#eager.float(from.subarray(0, count * extent), [count, extent])
      return p.matMul(strip, this.#eager.float(from, [right, extent]), false, true)
    }
    const products = this.#eager.read(p.mul(gram(factors.a), gram(factors.dy)))
    return products.reduce((sum, product, index) => sum + (index % right < count ? product : 2 * product), 0)
  }

  #columns(a: Handle, start: number, count: number): Handle {
    const constant = (values: readonly number[]) => this.#eager.constant('int', values, [2])
    return this.#eager.run('Slice', [a.id, constant([0, start]), constant([a.shape[0] ?? 0, count])])
  }

  #whole(first: Float32Array, second: Float32Array): Float32Array | null {
    const known = this.#joined.get(first)
    if (known !== undefined) return known
    const whole = behindEachOther(first, second)
    this.#joined.set(first, whole)
    return whole
  }

  forget(): void {
    this.#joined.clear()
  }

  #put(into: Float32Array, values: Handle, turns: Turns | undefined, piece: number): void {
    const copy = () => this.#eager.copy(values, into)
    if (!turns) copy()
    else if (!isFirst(turns, piece, copy)) this.#eager.add(values, into)
  }
}

/** One array over two that lie one behind the other in a shared memory; null where they do not. */
export function behindEachOther(first: Float32Array, second: Float32Array): Float32Array | null {
  const isNext = first.buffer === second.buffer && second.byteOffset === first.byteOffset + first.byteLength
  if (!isNext || !isAligned(first)) return null
  return new Float32Array(first.buffer, first.byteOffset, first.length + second.length)
}

/** Longer than any kernel writes a piece: the other thread is gone. */
const goneMs = 10_000

/** The first thread writes a piece, the second adds to it: a + b and b + a are the same bits. */
function isFirst({ words, first }: Turns, piece: number, write: () => void): boolean {
  const word = first + piece
  const state = { open: 0, writing: 1, written: 2 } as const
  if (Atomics.compareExchange(words, word, state.open, state.writing) === state.open) {
    write()
    Atomics.store(words, word, state.written)
    return true
  }
  for (const since = performance.now(); Atomics.load(words, word) === state.writing; )
    if (performance.now() - since > goneMs) throw new Error('another thread of this worker has stopped computing')
  return false
}

export function isAligned(values: Float32Array): boolean {
  return values.buffer instanceof SharedArrayBuffer && values.byteOffset % 64 === 0
}
