import type { RunConfig } from './config.ts'

/** A slice of an epoch's sample order: positions [start, end). */
export interface BatchRange {
  readonly start: number
  readonly end: number
}

/** What one step consumes; a pure function of the step's number, so every rank and the ledger agree. */
export interface StepPlan {
  /** 0-based number of the step; committing it makes the step count `step + 1`. */
  readonly step: number
  readonly epoch: number
  /** Passes over the data before it. */
  readonly epochs: number
  readonly batches: readonly BatchRange[]
  readonly lastOfEpoch: boolean
}

export interface Schedule {
  readonly stepsPerEpoch: number
  readonly totalSteps: number
  plan(step: number): StepPlan
}

/** An epoch is ⌈samples / batch⌉ batches (the last one smaller); a step takes `batchesPerStep` of them. */
export function makeSchedule(config: RunConfig, sampleCount: number): Schedule {
  const batchesPerStep = config.description.family === 'gan' ? config.discriminatorUpdates : 1
  const batchesPerEpoch = Math.ceil(sampleCount / config.batchSize)
  const stepsPerEpoch = Math.ceil(batchesPerEpoch / batchesPerStep)
  const totalSteps = config.steps ?? (config.epochs ?? 1) * stepsPerEpoch
  return {
    stepsPerEpoch,
    totalSteps,
    plan(step) {
      const first = (step % stepsPerEpoch) * batchesPerStep
      const last = Math.min(first + batchesPerStep, batchesPerEpoch)
      const batches: BatchRange[] = []
      for (let batch = first; batch < last; batch++) {
        batches.push({ start: batch * config.batchSize, end: Math.min((batch + 1) * config.batchSize, sampleCount) })
      }
      const epochs = step / stepsPerEpoch
      return { step, epoch: Math.floor(epochs), epochs, batches, lastOfEpoch: last === batchesPerEpoch }
    },
  }
}

/** Lanes [first, last). */
export interface LaneRange {
  readonly first: number
  readonly last: number
}

/** Lanes of a rank where all have as many: contiguous. */
export function lanesOfRank(rank: number, worldSize: number, lanes: number): LaneRange {
  return { first: Math.floor((rank * lanes) / worldSize), last: Math.floor(((rank + 1) * lanes) / worldSize) }
}

/** How many lanes each rank has, in rank order; all of a batch together. */
export type LaneDeal = readonly number[]

/** As many for each, to within one. */
export function evenDeal(worldSize: number, lanes: number): LaneDeal {
  return Array.from({ length: worldSize }, (_, rank) => {
    const { first, last } = lanesOfRank(rank, worldSize, lanes)
    return last - first
  })
}

/** Lanes of a rank: those behind what the ranks before it have. */
export function dealtLanes(deal: LaneDeal, rank: number): LaneRange {
  const first = deal.slice(0, rank).reduce((sum, lanes) => sum + lanes, 0)
  return { first, last: first + (deal[rank] ?? 0) }
}

/** Rows of a lane within `rows` rows of a batch, [start, end); lanes differ by one row at most. */
export function rowsOfLane(lane: number, lanes: number, rows: number): BatchRange {
  return { start: Math.floor((lane * rows) / lanes), end: Math.floor(((lane + 1) * rows) / lanes) }
}

/** How many rows each of these lanes has within `rows` rows of a batch. */
export function rowsOfEachLane({ first, last }: LaneRange, lanes: number, rows: number): number[] {
  return Array.from({ length: last - first }, (_, index) => {
    const { start, end } = rowsOfLane(first + index, lanes, rows)
    return end - start
  })
}

/** Rows [first, last) of some of the lanes, one behind the other. */
export function rowsOfLanes({ first, last }: LaneRange, lanes: number, rows: number): LaneRange {
  const { start } = rowsOfLane(first, lanes, rows)
  return { first: start, last: last > first ? rowsOfLane(last - 1, lanes, rows).end : start }
}
