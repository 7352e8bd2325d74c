import type { Clock } from '../../shared/core/clock.ts'
import { assert } from '../../shared/core/errors.ts'
import type { GridKind } from '../../shared/core/grid-kind.ts'
import { type SampleChecksum, sampleChecksum } from '../../shared/core/sample-checksum.ts'
import type { Schedule } from '../../shared/core/schedule.ts'
import { bucketsPerPhase, wholeGroupBucket } from '../../shared/protocol/frame.ts'
import type { BoundParameters } from '../backend/backend.ts'
import { clipGradients, finishUpdate } from '../optimizer/constraints.ts'
import { learningRate, nextUpdate, runUpdate } from '../optimizer/optimizer.ts'
import type { Group, PipelineGroup } from '../step/group.ts'
import { tail } from '../step/model-state.ts'
import { squaresOf, sumOfSquares } from '../step/slices.ts'
import { StepInputs } from '../step/step-inputs.ts'
import { Stopwatch } from '../step/stopwatch.ts'
import { phaseKinds, type StepResult } from '../step/trainer.ts'
import { agreedOn, castVotes, type Votes } from '../step/votes.ts'
import { noTrace, type Trace } from '../trace/trace.ts'
import { Boundary } from './boundary.ts'
import { ganPhases } from './gan-phases.ts'
import type { StagePhase } from './stage-phase.ts'
import { mostRows, type StageParts, type StagePlace } from './stage-run.ts'
import { stageSamples } from './stage-samples.ts'
import { vaePhases } from './vae-phases.ts'

interface PipelineTrainerParts extends Omit<StageParts, 'bound' | 'inputs' | 'boundary'> {
  readonly number: number
  readonly schedule: Schedule
  readonly clock: Clock
  readonly trace?: Trace | undefined
}

/** Behind those by which ranks wait for each other (gather-stages.ts). */
const firstTailBucket = wholeGroupBucket + 16

/**
 * Takes the steps of one stage of a pipeline. All ranks of the group come to one decision about each phase of a step, from one tail: they commit
 * the step, or none does. A rank that has committed can go back to the step before, so that a group can go on from one that all stages have.
 */
export class PipelineTrainer {
  readonly takesFactors = false
  readonly #parts: StageParts & PipelineTrainerParts
  readonly #bound: BoundParameters
  /** Byte offset of the tail, which is added over all ranks. */
  readonly #tail: number
  /** Part of the last step in which this rank waited for others, up to the last decision: a tail cannot tell of its own. */
  #waited = 0

  constructor(parts: PipelineTrainerParts) {
    const { config, spec, state, stage, backend, source, number } = parts
    this.#bound = backend.bind(state.allSlots())
    const inputs = new StepInputs(config, state, source, spec)
    // The fakes of all updates of a discriminator go through at once.
    const rows = mostRows(config) * (spec.family === 'gan' ? config.discriminatorUpdates : 1)
    const boundary = new Boundary(state, stage, number, config.pipelineStages, rows)
    this.#parts = { ...parts, bound: this.#bound, inputs, boundary }
    this.#tail = state.arena.allocate(tail.floats * 4)
  }

  /** As Trainer.step. */
  async step(step: number, group: Group, votes: Votes): Promise<StepResult> {
    const { state, schedule, clock, spec, inputs, trace = noTrace } = this.#parts
    const { pipeline, rank, deal, worldSize } = group
    assert(pipeline, 'a stage steps in a group of pipelines')
    const plan = schedule.plan(step)
    let place: StagePlace | null = null
    const watch = new Stopwatch(clock, (phase, start, end) =>
      trace.add(phaseKinds[phase], start, end, step, place?.at ?? -1),
    )
    place = { plan, group: pipeline, rank, deal, watch, at: -1 }
    const began = clock.now()
    const scalars: Record<string, number> = {}
    const batches: SampleChecksum[] = []
    const own = [...state.networks.keys()]
    let [bytes, waited, images, touched, skipped] = [0, 0, 0, false, false]
    let tails = new Float32Array(tail.floats)
    try {
      const phases = (spec.family === 'gan' ? ganPhases : vaePhases)(this.#parts, place)
      for (const [index, phase] of phases.entries()) {
        const { sums, tail: totals } = await phase.run()
        bytes += await this.#reduceStage(step, group, pipeline, phase, index, sums)
        const reduced = clock.now()
        tails = await this.#reduceTail(step, group, pipeline, votes, phase, index, totals)
        waited += clock.now() - reduced
        watch.lap('allReduce')
        if (phase.batch !== null) {
          const [count = 0, low = 0, high = 0, mixedLow = 0, mixedHigh = 0] = tails.subarray(tail.checksum)
          batches.push([count, low, high, mixedLow, mixedHigh])
          images += count
        }
        if (!touched) for (const name of own) state.backup(name)
        touched = true
        const norm = this.#report(scalars, phase, tails)
        skipped = !(norm <= this.#parts.config.maxGradientNorm) // the same bits on every rank
        if (skipped) break
        this.#update(phase, norm, step)
        watch.lap('optimizer')
      }
    } catch (error) {
      if (touched) this.undo()
      throw error
    }
    const seconds = watch.phaseSeconds()
    this.#waited = (1000 * (seconds.pipelineWait ?? 0) + waited) / Math.max(1e-9, clock.now() - began)
    scalars.bubbleShare = (tails[tail.bubble] ?? 0) / worldSize
    if (skipped) {
      this.undo()
      batches.length = 0
      for (const range of plan.batches) batches.push(sampleChecksum(inputs.ids(plan.epoch, range)))
      images = plan.batches.reduce((sum, range) => sum + range.end - range.start, 0)
    }
    return {
      ...agreedOn(tails, worldSize),
      committed: {
        ...{ step: step + 1, time: clock.wallTime(), epoch: plan.epoch, batches, images, scalars, skipped },
        seconds: watch.seconds,
        // Neither is this rank's own work.
        allReduceSeconds: seconds.allReduce + (seconds.pipelineWait ?? 0),
        phaseSeconds: seconds,
        allReduceBytes: bytes,
      },
    }
  }

  /** Goes back to the state before the last step that was committed, or before the one under way. */
  undo(): void {
    const { state } = this.#parts
    for (const name of state.networks.keys()) state.restore(name)
    this.refresh()
  }

  refresh(): void {
    this.#bound.refresh(this.#parts.state.allSlots().map(({ name }) => name))
  }

  close(): void {
    this.#bound.dispose()
  }

  /** As Trainer.samples, by the stages of the first pipeline together; null on all of its ranks but the last. */
  samples(picture: GridKind, count: number, group: Group): Promise<Float32Array | null> {
    const { pipeline, rank } = group
    assert(pipeline, 'a stage makes samples in a group of pipelines')
    this.#bound.refresh(this.#parts.state.averages.map(({ name }) => name))
    return stageSamples(this.#parts, pipeline, rank, picture, count)
  }

  /** Nobody holds the whole model to look at. */
  inspect(): Promise<Record<string, number>> {
    return Promise.resolve({})
  }

  /** Norm of the gradient of all networks of a phase. */
  #report(scalars: Record<string, number>, phase: StagePhase, tails: Float32Array): number {
    scalars[`${phase.name}Loss`] = tails[tail.loss] ?? Number.NaN
    for (const [at, name] of phase.scalars.entries()) scalars[name] = tails[tail.scalars + at] ?? Number.NaN
    const squares = phase.updates.map((_, at) => tails[tail.squares + at] ?? Number.NaN)
    for (const [at, name] of phase.updates.entries())
      scalars[`${name}GradientNorm`] = Math.sqrt(squares[at] ?? Number.NaN)
    const norm = Math.sqrt(squares.reduce((sum, square) => sum + square, 0))
    scalars[`${phase.name}GradientNorm`] = norm
    return norm
  }

  /** What this stage has of the networks that a phase moves. */
  #update({ updates }: StagePhase, norm: number, step: number): void {
    const { config, state, schedule } = this.#parts
    const own = updates.filter((name) => state.networks.has(name))
    clipGradients(config, state, own, norm)
    for (const name of own) {
      const rate = learningRate(config, name, step, schedule.stepsPerEpoch)
      const network = state.network(name)
      const update = nextUpdate(config, network, rate)
      runUpdate(state.kernel, update, 0, update.count)
      finishUpdate(config, state, network)
      this.#bound.refresh(state.slots.filter((slot) => slot.network === name).map((slot) => slot.name))
    }
  }

  /** Adds the gradients over the replicas of this stage, network by network; the bytes sent. */
  async #reduceStage(
    step: number,
    group: Group,
    { place }: PipelineGroup,
    { updates }: StagePhase,
    index: number,
    sums: number,
  ): Promise<number> {
    if (place.replicas === 1 || sums === 0) return 0
    const own = updates.filter((name) => this.#parts.state.networks.has(name))
    const sent = own.map((name, bucket) => {
      const { gradients, count } = this.#parts.state.network(name)
      return group.allReduce(step, index * bucketsPerPhase + bucket, gradients.slice(0, sums), count, 0)
    })
    return (await Promise.all(sent)).reduce((sum, bytes) => sum + bytes, 0)
  }

  /** Adds over all ranks what the decision about a phase, and its report, are made of. */
  async #reduceTail(
    step: number,
    group: Group,
    { place }: PipelineGroup,
    votes: Votes,
    { updates }: StagePhase,
    index: number,
    totals: Float64Array,
  ): Promise<Float32Array<ArrayBuffer>> {
    const { state } = this.#parts
    const values = state.floats(this.#tail, tail.floats)
    values.set(totals)
    castVotes(values, votes)
    values[tail.bubble] = this.#waited
    for (const at of updates.keys()) values[tail.squares + at] = 0
    if (place.replica === 0)
      for (const [at, name] of updates.entries()) {
        if (!state.networks.has(name)) continue
        squaresOf(state, name, 0, 1)
        values[tail.squares + at] = sumOfSquares(state, name)
      }
    await group.allReduce(step, firstTailBucket + index, [this.#tail], tail.floats, tail.floats)
    return values.slice()
  }
}
