import { type LaneRange, lanesOfRank } from '../../shared/core/schedule.ts'

/** Piece `number` of so many, as even as lanes allow. */
export function cut({ first, last }: LaneRange, pieces: number, number: number): LaneRange {
  const part = lanesOfRank(number, pieces, last - first)
  return { first: first + part.first, last: first + part.last }
}

/** So many micro-batches, or as many as there are lanes. */
export function microBatches(lanes: LaneRange, count: number): LaneRange[] {
  const most = Math.max(1, Math.min(count, lanes.last - lanes.first))
  return Array.from({ length: most }, (_, number) => cut(lanes, most, number))
}
