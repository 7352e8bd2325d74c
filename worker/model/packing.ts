import type { ImageShape } from '../../shared/core/image-grid.ts'
import type { Ops, Tensor } from '../backend/backend.ts'

/**
 * PacGAN (Lin et al. 2018): the discriminator sees `packing` images at once, behind each other in the channels. Row i of a lane goes
 * with the rows after it, the last ones with the first: each row of [rows, pixels] gives one pack, whatever the number of rows, and a
 * lane's packs depend on the lane alone.
 */
export function pack(
  ops: Ops,
  x: Tensor,
  packing: number,
  laneRows: readonly number[],
  { height, width, channels }: ImageShape,
): Tensor {
  if (packing === 1) return x
  const rows = x.shape[0] ?? 0
  const image = (flat: Tensor) => ops.reshape(flat, [rows, height * width, channels])
  let packed = image(x)
  for (let shift = 1; shift < packing; shift++)
    packed = ops.concatColumns(packed, image(turned(ops, x, shift, laneRows)))
  return ops.reshape(packed, [rows, height * width * channels * packing])
}

/** The rows of each lane, moved up by so many places, the first ones to the end. */
function turned(ops: Ops, x: Tensor, shift: number, laneRows: readonly number[]): Tensor {
  const parts: Tensor[] = []
  let start = 0
  for (const rows of laneRows) {
    const first = rows === 0 ? 0 : shift % rows
    if (first < rows) parts.push(ops.rows(x, start + first, rows - first))
    if (first > 0) parts.push(ops.rows(x, start, first))
    start += rows
  }
  return parts.reduce((all, part) => ops.concatRows(all, part))
}
