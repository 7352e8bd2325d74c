import { type LaneNode, mergeHalves } from '../../shared/collective/lanes.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import { limits } from '../../shared/core/limits.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import {
  type BatchRange,
  dealtLanes,
  type LaneDeal,
  type LaneRange,
  rowsOfEachLane,
  rowsOfLanes,
  type StepPlan,
} from '../../shared/core/schedule.ts'
import { labelClasses, type ModelSpec } from '../../shared/model/spec.ts'
import type { Backend, BoundParameters, Tensor } from '../backend/backend.ts'
import type { Phase } from '../model/model.ts'
import { cut, microBatches } from './cut-lanes.ts'
import { factorsOf } from './factors.ts'
import { type ModelState, tail } from './model-state.ts'
import { Preparation, type Prepared } from './preparation.ts'
import type { StepInputs } from './step-inputs.ts'
import type { Stopwatch } from './stopwatch.ts'

/** Which lanes are meant: those of a rank, in so many pieces that are computed beside each other. */
export interface Share {
  readonly rank: number
  readonly deal: LaneDeal
  readonly pieces: number
}

/** Told of a parameter whose factors are in their room, each rank having so many rows. */
export type Factored = (parameter: string, rows: readonly number[]) => void

/** A rank's share of the gradients of a step, phase by phase, in the flat buffer. */
export class LaneGradients {
  readonly #config: RunConfig
  readonly #state: ModelState
  readonly #backend: Backend
  readonly #bound: BoundParameters
  readonly #inputs: StepInputs
  readonly #pixels: number
  readonly #spec: ModelSpec
  readonly #preparation: Prepared

  constructor(
    config: RunConfig,
    state: ModelState,
    backend: Backend,
    bound: BoundParameters,
    inputs: StepInputs,
    pixels: number,
    spec: ModelSpec,
    preparation: Prepared = new Preparation(backend, bound, spec.latentSize),
  ) {
    this.#config = config
    this.#state = state
    this.#backend = backend
    this.#bound = bound
    this.#inputs = inputs
    this.#pixels = pixels
    this.#spec = spec
    this.#preparation = preparation
  }

  /** Before the phases of a step: what they share. */
  begin(phases: readonly Phase[], plan: StepPlan, share: Share, piece = 0): void {
    this.end()
    for (const lanes of this.#parts(share, piece)) {
      this.#preparation.make(phases, lanes, (index) => {
        const phase = phases[index]
        return this.#inputs.noise(plan.step, index, lanes, this.#globalRows(phase ? rangeOf(phase, plan) : null))
      })
    }
  }

  /** One-hot labels of the samples of these lanes, or drawn ones; null where the model reads none. */
  async #labels(
    { step, epoch }: StepPlan,
    index: number,
    range: BatchRange | null,
    lanes: LaneRange,
  ): Promise<Float32Array | null> {
    if (!this.#spec.conditional) return null
    if (!range) return this.#inputs.drawnLabels(step, index, lanes, this.#globalRows(range), labelClasses)
    return this.#inputs.labels([...this.#ids(epoch, range, lanes)], labelClasses)
  }

  /** Samples of these lanes. */
  #ids(epoch: number, range: BatchRange, lanes: LaneRange): Uint32Array {
    const { first, last } = this.#rows(lanes, range)
    return this.#inputs.ids(epoch, { start: range.start + first, end: range.start + last })
  }

  /** Rows [first, last) of a batch. */
  #rows(lanes: LaneRange, range: BatchRange | null): LaneRange {
    return rowsOfLanes(lanes, this.#config.lanes, this.#globalRows(range))
  }

  end(): void {
    this.#preparation.release()
  }

  /**
   * Computes a piece of this rank's share of a phase and returns in how many partial sums the rank's share lies. Fast: one micro-batch
   * after the other, added up in the part of the piece, and `ready` is told of each parameter whose gradient is there. Reproducible, in
   * one piece: lane after lane, added up in the order of the lane tree as far as the halves are here. `factored`: told, in place of `ready`, of
   * gradients whose factors are in their room; null: none is wanted.
   */
  async compute(
    phase: Phase,
    index: number,
    plan: StepPlan,
    share: Share,
    piece: number,
    watch: Stopwatch,
    ready: (parameter: string) => void,
    factored: Factored | null = null,
  ): Promise<number> {
    const batches = this.#parts(share, piece)
    const [range, joins] = [rangeOf(phase, plan), this.joins(phase, plan, share)]
    const single = batches.length === 1 && (share.pieces === 1 || joins)
    const factorRows = factored && single ? this.#factorRows(range, share) : null
    const wanted = factored && factorRows !== null ? { told: factored, rows: factorRows } : null
    const evaluate = (lanes: LaneRange, part: number, told: typeof ready) =>
      this.#evaluate(phase, index, plan, range, lanes, part, joins, watch, told, wanted)
    if (!this.#config.reproducible) {
      for (const [number, lanes] of batches.entries()) {
        const tell = number === batches.length - 1 ? ready : () => {}
        if (number === 0) await evaluate(lanes, piece, tell)
        else await this.#addBatch(phase, piece, (part, told) => evaluate(lanes, part, told), tell)
      }
      return 1
    }
    const stack: LaneNode[] = []
    for (const lanes of batches) {
      stack.push({ first: lanes.first, lanes: lanes.last - lanes.first })
      await evaluate(lanes, stack.length - 1, () => {})
      mergeHalves(stack, (into, from) => {
        for (const name of phase.updates) this.#addPart(name, into, from)
      })
    }
    return stack.length
  }

  /** Computes a further micro-batch of a piece in the part beside its own and adds it, each gradient as soon as it is there. */
  async #addBatch(
    phase: Phase,
    piece: number,
    evaluate: (part: number, told: (parameter: string) => void) => Promise<boolean>,
    ready: (parameter: string) => void,
  ): Promise<void> {
    const { slots, kernel } = this.#state
    const beside = piece + (slots[0]?.gradients.length ?? 0) / 2
    const add = (into?: Float32Array, from?: Float32Array) => {
      if (into && from) kernel.add(into.byteOffset, from.byteOffset, into.length)
    }
    const some = await evaluate(beside, (parameter) => {
      const slot = slots.find(({ name }) => name === parameter)
      add(slot?.gradients[piece], slot?.gradients[beside])
      ready(parameter)
    })
    if (some) for (const name of phase.updates) add(this.#state.tail(name, piece), this.#state.tail(name, beside))
  }

  /** Whether the two pieces of a share go into one gradient: each has rows, and the backend can. */
  joins(phase: Phase, plan: StepPlan, share: Share): boolean {
    if (share.pieces !== 2 || !this.#backend.takesTurns || this.#config.accumulate > 1) return false
    const range = rangeOf(phase, plan)
    return [0, 1].every((piece) =>
      this.#parts(share, piece).every((lanes) => {
        const { first, last } = this.#rows(lanes, range)
        return last > first
      }),
    )
  }

  /**
   * Rows of each rank, where all threads of all ranks have some, and no rank has too many of the others to multiply too; else null. The
   * same on every rank.
   */
  #factorRows(range: BatchRange | null, { deal }: Share): readonly number[] | null {
    const all = this.#globalRows(range)
    const counts = deal.map((_, rank) => {
      const { first, last } = this.#rows(dealtLanes(deal, rank), range)
      return last - first
    })
    return all >= this.#config.lanes && all - Math.min(...counts) <= limits.factorRows ? counts : null
  }

  /** Samples of the whole share. */
  samplesOf(phase: Phase, plan: StepPlan, { rank, deal }: Share): number[] {
    const range = rangeOf(phase, plan)
    return range ? [...this.#ids(plan.epoch, range, dealtLanes(deal, rank))] : []
  }

  /** Lanes that are computed as one batch. */
  #parts({ rank, deal, pieces }: Share, piece: number): LaneRange[] {
    const owned = dealtLanes(deal, rank)
    if (!this.#config.reproducible) return microBatches(cut(owned, pieces, piece), this.#config.accumulate)
    return Array.from({ length: owned.last - owned.first }, (_, index) => {
      const first = owned.first + index
      return { first, last: first + 1 }
    })
  }

  #globalRows(range: BatchRange | null): number {
    return range ? range.end - range.start : this.#config.batchSize
  }

  #addPart(name: string, into: number, from: number): void {
    const { gradients, count } = this.#state.network(name)
    const place = (part: number) => (gradients[part] ?? 0) - tail.floats * 4
    this.#state.kernel.add(place(into), place(from), count + tail.floats)
  }

  /** Gradients of some lanes, with their tail, into one part of the state; false where they have no rows. */
  async #evaluate(
    phase: Phase,
    index: number,
    plan: StepPlan,
    range: BatchRange | null,
    lanes: LaneRange,
    part: number,
    joins: boolean,
    watch: Stopwatch,
    ready: (parameter: string) => void,
    wanted: { readonly told: Factored; readonly rows: readonly number[] } | null,
  ): Promise<boolean> {
    const globalRows = this.#globalRows(range)
    const { first, last } = this.#rows(lanes, range)
    const rows = last - first
    this.#clear(phase, part, rows === 0)
    const tails = this.#state.tail(phase.updates[0] ?? '', part)
    const ids = range ? this.#ids(plan.epoch, range, lanes) : new Uint32Array(0)
    tails.set(sampleChecksum(ids), tail.checksum)
    if (rows === 0) return false
    const pixels = range ? await this.#inputs.pixels(plan.epoch, [...ids]) : null
    const noise = phase.prepare ? null : this.#inputs.noise(plan.step, index, lanes, globalRows)
    const labels = await this.#labels(plan, index, range, lanes)
    const draws = this.#inputs.draws(phase, plan.step, index, lanes, globalRows)
    watch.lap('input')
    const { ops } = this.#backend
    const parameters = this.#bound.tensors
    const { turns } = this.#state
    const targets = this.#state.slots
      .filter((slot) => phase.updates.includes(slot.network) && slot.role !== 'singularVector')
      .map((slot) => ({
        name: slot.name,
        parameter: parameters.get(slot.name) as Tensor,
        gradient: slot.gradients[joins ? 0 : part] ?? new Float32Array(0),
        ...(joins ? { turns: { words: turns, first: this.#state.turnOf(slot.name) } } : {}),
        factors: wanted && factorsOf(this.#state, slot.name, { start: first, count: rows }),
      }))
    const scalars = await this.#backend.gradients(
      () => {
        const { latentSize } = this.#spec
        const evaluation = phase.evaluate(ops, parameters, {
          images: pixels && ops.input(pixels, [rows, this.#pixels]),
          noise: noise ? ops.input(noise, [rows, latentSize]) : (this.#preparation.rows(index, lanes, rows) as Tensor),
          labels: labels && ops.input(labels, [rows, labelClasses]),
          draws: Object.fromEntries(draws.map(([name, values, size]) => [name, ops.input(values, [rows, size])])),
          laneRows: rowsOfEachLane(lanes, this.#config.lanes, globalRows),
          ...{ rows, globalRows },
        })
        watch.lap('forward')
        return evaluation
      },
      targets,
      ({ name }) => ready(name),
      ({ name }) => {
        if (joins) Atomics.add(turns, this.#state.turnOf(name), 1)
        wanted?.told(name, wanted.rows)
      },
    )
    watch.lap('backward')
    tails[tail.loss] = scalars.loss ?? Number.NaN
    for (const [position, name] of phase.scalars.entries()) tails[tail.scalars + position] = scalars[name] ?? Number.NaN
    return true
  }

  /** A gradient is written whole, so that only its tail has to be cleared; without rows there is none. */
  #clear(phase: Phase, part: number, all: boolean): void {
    for (const name of phase.updates) {
      const network = this.#state.network(name)
      this.#state.tail(name, part).fill(0)
      if (all) this.#state.floats(network.gradients[part] ?? 0, network.count).fill(0)
    }
  }
}

function rangeOf({ batch }: Phase, { batches }: StepPlan): BatchRange | null {
  return batch === null ? null : (batches[batch] ?? null)
}
