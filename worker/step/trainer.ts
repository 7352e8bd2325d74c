import { type LaneNode, mergeHalves } from '../../shared/collective/lanes.ts'
import type { Clock } from '../../shared/core/clock.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import { type SampleChecksum, sampleChecksum } from '../../shared/core/sample-checksum.ts'
import { type BatchRange, type LaneRange, lanesOfRank, rowsOfLane, type Schedule } from '../../shared/core/schedule.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import type { Backend, BoundParameters, Tensor } from '../backend/backend.ts'
import type { Model, Phase } from '../model/model.ts'
import { applyUpdate, learningRate } from '../optimizer/optimizer.ts'
import type { Group } from './group.ts'
import { generateImages } from './images.ts'
import { type ModelState, tailFloats } from './model-state.ts'
import { type SampleSource, StepInputs } from './step-inputs.ts'

/** Positions in the tail of a reduced bucket. */
const tail = { loss: 0, scalars: 1, checksum: 16, stopVote: 21, pauseVote: 22 } as const

/** What a rank asks the others to do after this step. */
export interface Votes {
  readonly stop: boolean
  readonly pause: boolean
}

export interface StepResult {
  readonly committed: CommittedStep
  /** True on every rank alike where any rank asked to stop. */
  readonly stop: boolean
  /** The same for a pause. */
  readonly pause: boolean
}

/**
 * Computes steps. A step is atomic over all networks: those that move before the last reduction are backed up first and
 * put back when the group fails, so the state in memory is always that of the last committed step.
 */
export class Trainer {
  readonly #config: RunConfig
  readonly #model: Model
  readonly #state: ModelState
  readonly #backend: Backend
  readonly #inputs: StepInputs
  readonly #sampleBytes: number
  readonly #schedule: Schedule
  readonly #clock: Clock
  readonly #bound: BoundParameters

  constructor(
    config: RunConfig,
    model: Model,
    state: ModelState,
    backend: Backend,
    source: SampleSource,
    schedule: Schedule,
    clock: Clock,
  ) {
    this.#config = config
    this.#model = model
    this.#state = state
    this.#backend = backend
    this.#inputs = new StepInputs(config, state, source, model.spec.pixelRange)
    this.#sampleBytes = source.sampleBytes
    this.#schedule = schedule
    this.#clock = clock
    this.#bound = backend.bind(state.slots)
  }

  /** Computes, reduces, checks and commits step number `step` (0-based). On an error the state is as before. */
  async step(step: number, group: Group, votes: Votes): Promise<StepResult> {
    const started = this.#clock.now()
    const plan = this.#schedule.plan(step)
    const phases = this.#model.phases(plan.batches.length)
    const touched: string[] = []
    const report = {
      scalars: {} as Record<string, number>,
      batches: [] as SampleChecksum[],
      images: 0,
      reduceMs: 0,
      bytes: 0,
    }
    const agreed = { stop: false, pause: false }
    let skipped = false
    try {
      for (const [index, phase] of phases.entries()) {
        const range = phase.batch === null ? null : (plan.batches[phase.batch] ?? null)
        const parts = await this.#gradients(phase, index, step, plan.epoch, range, group, votes)
        const reduceStarted = this.#clock.now()
        report.bytes += await this.#reduce(phase, index, step, group, parts)
        const tails = this.#state.tail(phase.updates[0] ?? '', 0)
        report.reduceMs += this.#clock.now() - reduceStarted
        const [count = 0, low = 0, high = 0, mixedLow = 0, mixedHigh = 0] = tails.subarray(tail.checksum)
        if (range) {
          report.batches.push([count, low, high, mixedLow, mixedHigh])
          report.images += count
        }
        agreed.stop ||= (tails[tail.stopVote] ?? 0) > 0
        agreed.pause ||= (tails[tail.pauseVote] ?? 0) > 0
        const norm = this.#gradientNorm(phase)
        if (!(norm <= this.#config.maxGradientNorm)) {
          skipped = true // the same bits on every rank, so every rank skips
          break
        }
        this.#scalars(report.scalars, phase, tails, norm)
        if (index < phases.length - 1) for (const name of phase.updates) this.#backup(name, touched)
        for (const name of phase.updates) this.#update(name, step)
      }
    } catch (error) {
      this.#rollback(touched)
      throw error
    }
    if (skipped) {
      this.#rollback(touched)
      report.batches = []
      for (const range of plan.batches) report.batches.push(sampleChecksum(this.#inputs.ids(plan.epoch, range)))
      report.images = plan.batches.reduce((sum, range) => sum + range.end - range.start, 0)
    }
    return {
      ...agreed,
      committed: {
        step: step + 1,
        time: this.#clock.wallTime(),
        epoch: plan.epoch,
        batches: report.batches,
        images: report.images,
        scalars: report.scalars,
        skipped,
        seconds: (this.#clock.now() - started) / 1000,
        allReduceSeconds: report.reduceMs / 1000,
        allReduceBytes: report.bytes,
      },
    }
  }

  /** The weights in the shared memory were replaced. */
  refresh(): void {
    this.#bound.refresh(this.#state.slots.map((slot) => slot.name))
  }

  /** Images [count, pixels] in 0…1 from noise that depends on the seed alone, so that grids compare. */
  async samples(count: number): Promise<Float32Array> {
    const { seed } = this.#config
    return generateImages(this.#model, this.#state, this.#backend, this.#bound, count, seed)
  }

  /**
   * Computes this rank's share of a phase and returns in how many partial sums it lies. Fast: all lanes as one batch, one
   * sum. Reproducible: lane after lane, added up in the order of the lane tree as far as the halves are here.
   */
  async #gradients(
    phase: Phase,
    index: number,
    step: number,
    epoch: number,
    range: BatchRange | null,
    group: Group,
    votes: Votes,
  ): Promise<number> {
    const { lanes, reproducible } = this.#config
    const owned = lanesOfRank(group.rank, group.worldSize, lanes)
    const evaluate = (some: LaneRange, part: number) => this.#evaluate(phase, index, step, epoch, range, some, part)
    const stack: LaneNode[] = []
    if (!reproducible) {
      await evaluate(owned, 0)
      stack.push({ first: owned.first, lanes: owned.last - owned.first })
    } else {
      for (let lane = owned.first; lane < owned.last; lane++) {
        stack.push({ first: lane, lanes: 1 })
        await evaluate({ first: lane, last: lane + 1 }, stack.length - 1)
        mergeHalves(stack, (into, from) => {
          for (const name of phase.updates) this.#addPart(name, into, from)
        })
      }
    }
    const tails = this.#state.tail(phase.updates[0] ?? '', 0)
    tails[tail.stopVote] = votes.stop ? 1 : 0
    tails[tail.pauseVote] = votes.pause ? 1 : 0
    return stack.length
  }

  #addPart(name: string, into: number, from: number): void {
    const { gradients, count } = this.#state.network(name)
    this.#state.kernel.add(gradients[into] ?? 0, gradients[from] ?? 0, count + tailFloats)
  }

  /** Gradients of some lanes, with their tail, into one part of the state. */
  async #evaluate(
    phase: Phase,
    index: number,
    step: number,
    epoch: number,
    range: BatchRange | null,
    owned: LaneRange,
    part: number,
  ): Promise<void> {
    const { lanes, batchSize } = this.#config
    const globalRows = range ? range.end - range.start : batchSize
    const first = rowsOfLane(owned.first, lanes, globalRows).start
    const last = owned.last > owned.first ? rowsOfLane(owned.last - 1, lanes, globalRows).end : first
    const tails = this.#state.tail(phase.updates[0] ?? '', part)
    for (const name of phase.updates) {
      const network = this.#state.network(name)
      this.#state.floats(network.gradients[part] ?? 0, network.count + tailFloats).fill(0)
    }
    const ids = range
      ? this.#inputs.ids(epoch, { start: range.start + first, end: range.start + last })
      : new Uint32Array(0)
    tails.set(sampleChecksum(ids), tail.checksum)
    const rows = last - first
    if (rows === 0) return
    const noise = this.#inputs.noise(step, index, owned, globalRows, phase.noiseSize)
    const pixels = range ? await this.#inputs.pixels([...ids]) : null
    const { ops } = this.#backend
    const parameters = this.#bound.tensors
    const targets = this.#state.slots
      .filter((slot) => phase.updates.includes(slot.network))
      .map((slot) => ({
        parameter: parameters.get(slot.name) as Tensor,
        gradient: slot.gradients[part] ?? new Float32Array(0),
      }))
    const scalars = await this.#backend.gradients(() => {
      const images = pixels ? ops.input(pixels, [rows, this.#sampleBytes]) : null
      return phase.evaluate(ops, parameters, images, ops.input(noise, [rows, phase.noiseSize]), globalRows)
    }, targets)
    tails[tail.loss] = scalars.loss ?? Number.NaN
    for (const [position, name] of phase.scalars.entries()) tails[tail.scalars + position] = scalars[name] ?? Number.NaN
  }

  /** One bucket per network; the tail travels with the first. */
  async #reduce(phase: Phase, index: number, step: number, group: Group, parts: number): Promise<number> {
    const sent = await Promise.all(
      phase.updates.map((name, position) => {
        const network = this.#state.network(name)
        return group.allReduce(
          step,
          index * 8 + position,
          network.gradients.slice(0, parts),
          network.count + tailFloats,
        )
      }),
    )
    return sent.reduce((sum, bytes) => sum + bytes, 0)
  }

  #gradientNorm(phase: Phase): number {
    let sum = 0
    for (const name of phase.updates) {
      const network = this.#state.network(name)
      sum += this.#state.kernel.sumSquares(network.gradients[0] ?? 0, network.count)
    }
    return Math.sqrt(sum)
  }

  #scalars(into: Record<string, number>, phase: Phase, tails: Float32Array, norm: number): void {
    into[`${phase.name}Loss`] = tails[tail.loss] ?? Number.NaN
    for (const [position, name] of phase.scalars.entries()) into[name] = tails[tail.scalars + position] ?? Number.NaN
    into[`${phase.name}GradientNorm`] = norm
  }

  #update(name: string, step: number): void {
    const rate = learningRate(this.#config, name, step, this.#schedule.stepsPerEpoch)
    applyUpdate(this.#state.kernel, this.#config, this.#state.network(name), rate)
    this.#bound.refresh(this.#state.slots.filter((slot) => slot.network === name).map((slot) => slot.name))
  }

  #backup(name: string, touched: string[]): void {
    if (touched.includes(name)) return
    this.#state.backup(name)
    touched.push(name)
  }

  #rollback(touched: readonly string[]): void {
    for (const name of touched) {
      this.#state.restore(name)
      this.#bound.refresh(this.#state.slots.filter((slot) => slot.network === name).map((slot) => slot.name))
    }
  }
}
