import { setImmediate } from 'node:timers/promises'
import type { Backend } from '../backend/backend.ts'
import type { Features } from './statistics.ts'

/** a · bᵀ, [a.rows, b.rows]. */
export type Products = (a: Features, b: Features) => Promise<Float32Array>

export function productsOn(backend: Backend): Products {
  const { ops } = backend
  return async (a, b) => {
    await setImmediate() // lets the process hear that it is to end
    return backend.compute(() =>
      ops.matMul(ops.input(a.values, [a.rows, a.columns]), ops.input(transposed(b), [b.columns, b.rows])),
    )
  }
}

/** Floats of one block of distances, 16 MiB. */
const blockFloats = 1 << 22

/** Squared distances of some rows of `a` to all of `b`, block by block: `values` is [rows, b.rows], from row `start` of `a` on. */
export async function* squaredDistances(
  products: Products,
  a: Features,
  b: Features,
): AsyncGenerator<{ start: number; rows: number; values: Float32Array }> {
  const blockRows = Math.max(1, Math.floor(blockFloats / b.rows))
  const lengths = squaredLengths(b)
  for (let start = 0; start < a.rows; start += blockRows) {
    const rows = Math.min(blockRows, a.rows - start)
    const block = { values: a.values.subarray(start * a.columns, (start + rows) * a.columns), rows, columns: a.columns }
    const values = await products(block, b)
    const own = squaredLengths(block)
    for (let row = 0; row < rows; row++) {
      const length = own[row] ?? 0
      const offset = row * b.rows
      for (let j = 0; j < b.rows; j++)
        values[offset + j] = Math.max(0, length + (lengths[j] ?? 0) - 2 * (values[offset + j] ?? 0))
    }
    yield { start, rows, values }
  }
}

function squaredLengths({ values, rows, columns }: Features): Float64Array {
  const lengths = new Float64Array(rows)
  for (let row = 0; row < rows; row++) {
    let sum = 0
    for (let at = row * columns; at < (row + 1) * columns; at++) sum += (values[at] ?? 0) ** 2
    lengths[row] = sum
  }
  return lengths
}

function transposed({ values, rows, columns }: Features): Float32Array {
  const turned = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) turned[column * rows + row] = values[row * columns + column] ?? 0
  return turned
}
