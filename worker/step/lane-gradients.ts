import { type LaneNode, mergeHalves } from '../../shared/collective/lanes.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import { type BatchRange, type LaneRange, lanesOfRank, rowsOfLane, type StepPlan } from '../../shared/core/schedule.ts'
import type { Backend, BoundParameters, Tensor } from '../backend/backend.ts'
import type { Phase } from '../model/model.ts'
import type { Group } from './group.ts'
import { type ModelState, tail } from './model-state.ts'
import { Preparation } from './preparation.ts'
import type { StepInputs } from './step-inputs.ts'
import type { Stopwatch } from './stopwatch.ts'

/** A rank's share of the gradients of a step, phase by phase, in the flat buffer. */
export class LaneGradients {
  readonly #config: RunConfig
  readonly #state: ModelState
  readonly #backend: Backend
  readonly #bound: BoundParameters
  readonly #inputs: StepInputs
  readonly #pixels: number
  readonly #preparation: Preparation

  constructor(
    config: RunConfig,
    state: ModelState,
    backend: Backend,
    bound: BoundParameters,
    inputs: StepInputs,
    pixels: number,
  ) {
    this.#config = config
    this.#state = state
    this.#backend = backend
    this.#bound = bound
    this.#inputs = inputs
    this.#pixels = pixels
    this.#preparation = new Preparation(backend, bound)
  }

  /** Before the phases of a step: what they share. */
  begin(phases: readonly Phase[], { step, batches }: StepPlan, group: Group): void {
    this.end()
    for (const lanes of this.#parts(group)) {
      this.#preparation.make(phases, lanes, (index) => {
        const phase = phases[index]
        const range = phase?.batch === null ? null : (batches[phase?.batch ?? 0] ?? null)
        return this.#inputs.noise(step, index, lanes, this.#globalRows(range), phase?.noiseSize ?? 0)
      })
    }
  }

  end(): void {
    this.#preparation.release()
  }

  /**
   * Computes this rank's share of a phase and returns in how many partial sums it lies. Fast: all lanes as one batch, one
   * sum, and `ready` is told of each parameter whose gradient is there. Reproducible: lane after lane, added up in the order
   * of the lane tree as far as the halves are here.
   */
  async compute(
    phase: Phase,
    index: number,
    plan: StepPlan,
    range: BatchRange | null,
    group: Group,
    watch: Stopwatch,
    ready: (parameter: string) => void,
  ): Promise<number> {
    const stack: LaneNode[] = []
    for (const lanes of this.#parts(group)) {
      stack.push({ first: lanes.first, lanes: lanes.last - lanes.first })
      await this.#evaluate(phase, index, plan, range, lanes, stack.length - 1, watch, ready)
      if (!this.#config.reproducible) continue
      mergeHalves(stack, (into, from) => {
        for (const name of phase.updates) this.#addPart(name, into, from)
      })
    }
    return stack.length
  }

  /** Lanes that are computed as one batch. */
  #parts(group: Group): LaneRange[] {
    const owned = lanesOfRank(group.rank, group.worldSize, this.#config.lanes)
    if (!this.#config.reproducible) return [owned]
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

  /** Gradients of some lanes, with their tail, into one part of the state. */
  async #evaluate(
    phase: Phase,
    index: number,
    { step, epoch }: StepPlan,
    range: BatchRange | null,
    lanes: LaneRange,
    part: number,
    watch: Stopwatch,
    ready: (parameter: string) => void,
  ): Promise<void> {
    const globalRows = this.#globalRows(range)
    const first = rowsOfLane(lanes.first, this.#config.lanes, globalRows).start
    const last = lanes.last > lanes.first ? rowsOfLane(lanes.last - 1, this.#config.lanes, globalRows).end : first
    const rows = last - first
    this.#clear(phase, part, rows === 0)
    const tails = this.#state.tail(phase.updates[0] ?? '', part)
    const ids = range
      ? this.#inputs.ids(epoch, { start: range.start + first, end: range.start + last })
      : new Uint32Array(0)
    tails.set(sampleChecksum(ids), tail.checksum)
    if (rows === 0) return
    const pixels = range ? await this.#inputs.pixels([...ids]) : null
    const noise = phase.prepare ? null : this.#inputs.noise(step, index, lanes, globalRows, phase.noiseSize)
    watch.lap('input')
    const { ops } = this.#backend
    const parameters = this.#bound.tensors
    const targets = this.#state.slots
      .filter((slot) => phase.updates.includes(slot.network))
      .map((slot) => ({
        name: slot.name,
        parameter: parameters.get(slot.name) as Tensor,
        gradient: slot.gradients[part] ?? new Float32Array(0),
      }))
    const scalars = await this.#backend.gradients(
      () => {
        const images = pixels ? ops.input(pixels, [rows, this.#pixels]) : null
        const given = noise
          ? ops.input(noise, [rows, phase.noiseSize])
          : (this.#preparation.rows(index, lanes, rows) as Tensor)
        const evaluation = phase.evaluate(ops, parameters, images, given, globalRows)
        watch.lap('forward')
        return evaluation
      },
      targets,
      ({ name }) => !this.#config.reproducible && ready(name),
    )
    watch.lap('backward')
    tails[tail.loss] = scalars.loss ?? Number.NaN
    for (const [position, name] of phase.scalars.entries()) tails[tail.scalars + position] = scalars[name] ?? Number.NaN
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
