import type { Clock } from '../../shared/core/clock.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import type { GridKind } from '../../shared/core/grid-kind.ts'
import { type SampleChecksum, sampleChecksum } from '../../shared/core/sample-checksum.ts'
import type { Schedule } from '../../shared/core/schedule.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import { traceKind } from '../../shared/protocol/trace-record.ts'
import type { Backend, BoundParameters } from '../backend/backend.ts'
import { Inspection } from '../evaluate/inspection.ts'
import type { Model, Phase } from '../model/model.ts'
import { clipGradients, finishUpdate } from '../optimizer/constraints.ts'
import { learningRate, nextUpdate } from '../optimizer/optimizer.ts'
import { maskGradients, pruneNetwork } from '../optimizer/pruning.ts'
import { noTrace, type Trace } from '../trace/trace.ts'
import type { WideGradient } from './factors.ts'
import type { Group } from './group.ts'
import { generateImages } from './images.ts'
import { LaneGradients } from './lane-gradients.ts'
import { type ModelState, tail } from './model-state.ts'
import { PhaseReduction } from './phase-reduction.ts'
import { type Mates, RankGradients } from './rank-gradients.ts'
import { type SampleSource, StepInputs } from './step-inputs.ts'
import { type StepPhase, Stopwatch } from './stopwatch.ts'
import type { UpdatePlace } from './update-together.ts'
import { agreedOn, castVotes, type Votes } from './votes.ts'
import { WeightWatch } from './weight-watch.ts'

export interface StepResult extends Votes {
  readonly committed: CommittedStep
}

export const phaseKinds = {
  prepare: traceKind('prepare'),
  input: traceKind('input'),
  forward: traceKind('forward'),
  backward: traceKind('backward'),
  allReduce: traceKind('all-reduce wait'),
  optimizer: traceKind('optimizer'),
  pipelineWait: traceKind('pipeline wait'),
} satisfies Record<StepPhase, number>

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
  readonly #gradients: RankGradients
  readonly #weights: WeightWatch
  readonly #schedule: Schedule
  readonly #clock: Clock
  readonly #trace: Trace
  readonly #bound: BoundParameters
  readonly #inspection: Inspection

  constructor(
    config: RunConfig,
    model: Model,
    state: ModelState,
    backend: Backend,
    source: SampleSource,
    schedule: Schedule,
    clock: Clock,
    trace: Trace = noTrace,
    mates: Mates | null = null,
  ) {
    this.#config = config
    this.#model = model
    this.#state = state
    this.#backend = backend
    this.#inputs = new StepInputs(config, state, source, model.spec)
    this.#schedule = schedule
    this.#clock = clock
    this.#trace = trace
    this.#bound = backend.bind(state.allSlots())
    this.#inspection = new Inspection(config, model, state, backend, this.#bound, this.#inputs)
    const { sampleBytes } = source
    const lanes = new LaneGradients(config, state, backend, this.#bound, this.#inputs, sampleBytes, model.spec)
    this.#gradients = new RankGradients(config, state, backend, lanes, source, mates)
    this.#weights = new WeightWatch(config, state)
  }

  /** Computes, reduces, checks and commits step number `step` (0-based). On an error the state is as before. */
  async step(step: number, group: Group, votes: Votes): Promise<StepResult> {
    let at = -1 // which phase
    const watch = new Stopwatch(this.#clock, (phase, start, end) =>
      this.#trace.add(phaseKinds[phase], start, end, step, at),
    )
    const plan = this.#schedule.plan(step)
    const phases = this.#model.phases(plan.batches.length, plan)
    const touched: string[] = []
    const report = {
      scalars: {} as Record<string, number>,
      batches: [] as SampleChecksum[],
      images: 0,
      bytes: 0,
    }
    let agreed = agreedOn(new Float32Array(tail.floats), group.worldSize)
    let skipped = false
    try {
      await this.#gradients.begin(phases, plan, group)
      this.#weights.begin(step)
      watch.lap('prepare')
      for (const [index, phase] of phases.entries()) {
        at = index
        const range = phase.batch === null ? null : (plan.batches[phase.batch] ?? null)
        const reduction = new PhaseReduction(this.#state, group, step, phase, index)
        const parts = await this.#gradients.compute(
          phase,
          index,
          plan,
          group,
          watch,
          (parameter) => reduction.ready(parameter),
          reduction.takeFactors,
        )
        castVotes(this.#state.tail(phase.updates[0] ?? '', 0), votes)
        report.bytes += await reduction.rest(parts)
        const tails = this.#state.tail(phase.updates[0] ?? '', 0)
        watch.lap('allReduce')
        const [count = 0, low = 0, high = 0, mixedLow = 0, mixedHigh = 0] = tails.subarray(tail.checksum)
        if (range) {
          report.batches.push([count, low, high, mixedLow, mixedHigh])
          report.images += count
        }
        agreed = agreedOn(tails, group.worldSize)
        const wide = (name: string) => reduction.factored.filter(({ network }) => network === name)
        const squares = await this.#gradients.squares(phase.updates, reduction.squared, wide)
        const norm = Math.sqrt([...squares.values()].reduce((sum, square) => sum + square, 0))
        if (!(norm <= this.#config.maxGradientNorm)) {
          skipped = true // the same bits on every rank, so every rank skips
          break
        }
        this.#scalars(report.scalars, phase, tails, squares, norm)
        clipGradients(this.#config, this.#state, phase.updates, norm)
        if (index < phases.length - 1) for (const name of phase.updates) this.#backup(name, touched)
        for (const name of phase.updates) await this.#update(name, wide(name), group, { step, index, watch })
        watch.lap('optimizer')
      }
    } catch (error) {
      this.#rollback(touched)
      group.settle('restore')
      throw error
    } finally {
      this.#gradients.end()
    }
    group.settle(skipped ? 'restore' : 'keep')
    if (!skipped) Object.assign(report.scalars, this.#weights.end())
    else {
      this.#rollback(touched)
      report.batches = []
      for (const range of plan.batches) report.batches.push(sampleChecksum(this.#inputs.ids(plan.epoch, range)))
      report.images = plan.batches.reduce((sum, range) => sum + range.end - range.start, 0)
    }
    const phaseSeconds = watch.phaseSeconds()
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
        seconds: watch.seconds,
        allReduceSeconds: phaseSeconds.allReduce,
        phaseSeconds,
        allReduceBytes: report.bytes,
      },
    }
  }

  /** Whether this rank can make its part of wide gradients out of all ranks' factors. */
  get takesFactors(): boolean {
    const { reproducible, accumulate, clipGradientValue, clipGradientNorm, prune, algorithm } = this.#config
    const plain =
      !reproducible &&
      accumulate === 1 &&
      clipGradientValue === 0 &&
      clipGradientNorm === 0 &&
      Object.keys(prune).length === 0
    const able = this.#backend.productRows !== undefined && this.#backend.takesTurns && this.#state.factors.size > 0
    return able && plain && algorithm === 'auto' && this.#gradients.joins
  }

  /**
   * The network whose weights and moments ranks of a host may hold together: the last to be updated, and in the last phase alone, when the step
   * cannot fail any more; with a gradient that is never written. Null: none, or other threads of this worker read them too.
   */
  get sharedNetwork(): string | null {
    const phases = this.#model.phases(1, { step: 0, epochs: 0 })
    const [name, ...others] = phases.flatMap(({ updates }) => updates).toReversed()
    const wide = this.#state.slots.some((slot) => slot.network === name && this.#state.factors.has(slot.name))
    const last = name !== undefined && !others.includes(name)
    return this.takesFactors && wide && last && !this.#gradients.hasMates ? name : null
  }

  /** The weights in the shared memory were replaced. */
  refresh(): void {
    this.#bound.refresh(this.#state.allSlots().map((slot) => slot.name))
  }

  /** Images [count, pixels] in 0…1 of latent vectors that depend on the seed alone, so that grids compare; null: it makes none. */
  async samples(picture: GridKind, count: number): Promise<Float32Array | null> {
    if (!this.#model.generate) return null
    const { seed } = this.#config
    this.#bound.refresh(this.#state.averages.map(({ name }) => name))
    return generateImages(this.#model, this.#state, this.#backend, this.#bound, count, seed, picture)
  }

  /** What the model makes after so many steps, in figures (docs/stability.md). */
  async inspect(steps: number): Promise<Record<string, number>> {
    const { epoch, batches } = this.#schedule.plan(steps - 1)
    const [range] = batches
    this.#bound.refresh(this.#state.averages.map(({ name }) => name))
    return range ? this.#inspection.figures(epoch, this.#inputs.ids(epoch, range)) : {}
  }

  #scalars(
    into: Record<string, number>,
    phase: Phase,
    tails: Float32Array,
    squares: ReadonlyMap<string, number>,
    norm: number,
  ): void {
    into[`${phase.name}Loss`] = tails[tail.loss] ?? Number.NaN
    for (const [position, name] of phase.scalars.entries()) into[name] = tails[tail.scalars + position] ?? Number.NaN
    for (const [name, square] of squares) into[`${name}GradientNorm`] = Math.sqrt(square)
    into[`${phase.name}GradientNorm`] = norm
  }

  async #update(name: string, wide: readonly WideGradient[], group: Group, place: UpdatePlace): Promise<void> {
    const rate = learningRate(this.#config, name, place.step, this.#schedule.stepsPerEpoch)
    const network = this.#state.network(name)
    maskGradients(this.#config, this.#state, name)
    await this.#gradients.update(name, nextUpdate(this.#config, network, rate), wide, group, place)
    pruneNetwork(this.#config, this.#state, name, place.step, this.#schedule.totalSteps)
    finishUpdate(this.#config, this.#state, network)
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
