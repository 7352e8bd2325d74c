import type { Clock } from '../../shared/core/clock.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import { assert } from '../../shared/core/errors.ts'
import type { GridKind } from '../../shared/core/grid-kind.ts'
import type { Schedule, StepPlan } from '../../shared/core/schedule.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import type { Stage } from '../../shared/pipeline/stages.ts'
import { wholeGroupBucket } from '../../shared/protocol/frame.ts'
import type { Backend, BoundParameters } from '../backend/backend.ts'
import { rising } from '../model/annealing.ts'
import { clipGradients } from '../optimizer/constraints.ts'
import { learningRate, nextUpdate, runUpdate } from '../optimizer/optimizer.ts'
import type { Group, PipelineGroup } from '../step/group.ts'
import { type ModelState, tail } from '../step/model-state.ts'
import { squaresOf, sumOfSquares } from '../step/slices.ts'
import { type SampleSource, StepInputs } from '../step/step-inputs.ts'
import { Stopwatch } from '../step/stopwatch.ts'
import { phaseKinds, type StepResult } from '../step/trainer.ts'
import { agreedOn, castVotes, type Votes } from '../step/votes.ts'
import { noTrace, type Trace } from '../trace/trace.ts'
import { Boundary } from './boundary.ts'
import { stageSamples } from './stage-samples.ts'
import { mostRows, StageStep, type StageStepParts } from './stage-step.ts'

interface PipelineTrainerParts {
  readonly config: RunConfig
  /** The whole model. */
  readonly spec: ModelSpec
  readonly stage: Stage
  readonly number: number
  readonly state: ModelState
  readonly backend: Backend
  readonly source: SampleSource
  readonly schedule: Schedule
  readonly clock: Clock
  readonly trace?: Trace | undefined
}

/**
 * Takes the steps of one stage of a pipeline. All ranks of the group come to one decision about each step, from one tail: they commit
 * it, or none does. A rank that has committed can go back to the step before, so that a group can go on from one that all stages have.
 */
export class PipelineTrainer {
  readonly takesFactors = false
  readonly #parts: StageStepParts & PipelineTrainerParts
  readonly #bound: BoundParameters
  readonly #networks: readonly string[]
  /** Byte offset of the tail, which is added over all ranks. */
  readonly #tail: number
  /** Part of the last step in which this rank waited for others, up to the decision: the tail cannot tell of its own. */
  #waited = 0

  constructor(parts: PipelineTrainerParts) {
    const { config, spec, state, stage, backend, source, number } = parts
    this.#bound = backend.bind(state.allSlots())
    const inputs = new StepInputs(config, state, source, spec)
    const boundary = new Boundary(state, stage, number, config.pipelineStages, mostRows(config))
    this.#parts = { ...parts, bound: this.#bound, inputs, boundary, pixels: source.sampleBytes }
    this.#networks = spec.networks.map(({ name }) => name)
    this.#tail = state.arena.allocate(tail.floats * 4)
  }

  /** As Trainer.step. */
  async step(step: number, group: Group, votes: Votes): Promise<StepResult> {
    const { config, state, schedule, clock, trace = noTrace } = this.#parts
    const { pipeline } = group
    assert(pipeline, 'a stage steps in a group of pipelines')
    const plan = schedule.plan(step)
    let work: StageStep | null = null
    const watch = new Stopwatch(clock, (phase, start, end) =>
      trace.add(phaseKinds[phase], start, end, step, work?.at ?? -1),
    )
    const beta = rising(config.beta, step / schedule.stepsPerEpoch, config.klWarmupEpochs)
    work = new StageStep(this.#parts, plan, pipeline, group, beta, watch)
    const began = clock.now()
    const sums = await work.run()
    work.at = -1
    const bytes = await this.#reduceStage(step, group, pipeline, sums)
    const reduced = clock.now()
    const tails = await this.#reduceTail(step, group, pipeline, votes, work.totals)
    const now = clock.now()
    const waited = 1000 * (watch.phaseSeconds().pipelineWait ?? 0) + now - reduced
    this.#waited = waited / Math.max(1e-9, now - began)
    watch.lap('allReduce')
    const squares = this.#networks.map((name, index) => [name, tails[tail.squares + index] ?? Number.NaN] as const)
    const norm = Math.sqrt(squares.reduce((sum, [, square]) => sum + square, 0))
    const skipped = !(norm <= config.maxGradientNorm) // the same bits on every rank
    const own = [...state.networks.keys()]
    for (const name of own) state.backup(name)
    if (!skipped) {
      clipGradients(config, state, own, norm)
      for (const name of own) {
        const rate = learningRate(config, name, step, schedule.stepsPerEpoch)
        const update = nextUpdate(config, state.network(name), rate)
        runUpdate(state.kernel, update, 0, update.count)
      }
      this.refresh()
    }
    watch.lap('optimizer')
    const phaseSeconds = watch.phaseSeconds()
    const ranks = group.worldSize
    return {
      ...agreedOn(tails, group.worldSize),
      committed: {
        step: step + 1,
        time: clock.wallTime(),
        epoch: plan.epoch,
        ...samplesOf(plan, tails),
        scalars: {
          vaeLoss: tails[tail.loss] ?? Number.NaN,
          reconstruction: tails[tail.scalars] ?? Number.NaN,
          kl: tails[tail.scalars + 1] ?? Number.NaN,
          ...Object.fromEntries(squares.map(([name, square]) => [`${name}GradientNorm`, Math.sqrt(square)])),
          vaeGradientNorm: norm,
          bubbleShare: (tails[tail.bubble] ?? 0) / ranks,
        },
        skipped,
        seconds: watch.seconds,
        // Neither is this rank's own work.
        allReduceSeconds: phaseSeconds.allReduce + (phaseSeconds.pipelineWait ?? 0),
        phaseSeconds,
        allReduceBytes: bytes,
      },
    }
  }

  /** Goes back to the state before the last step that was committed. */
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
    return stageSamples(this.#parts, pipeline, rank, picture, count)
  }

  /** Nobody holds the whole model to look at. */
  inspect(): Promise<Record<string, number>> {
    return Promise.resolve({})
  }

  /** Adds the gradients over the replicas of this stage, network by network; the bytes sent. */
  async #reduceStage(step: number, group: Group, { place }: PipelineGroup, sums: number): Promise<number> {
    if (place.replicas === 1) return 0
    const sent = [...this.#parts.state.networks.values()].map(({ gradients, count }, bucket) =>
      group.allReduce(step, bucket, gradients.slice(0, sums), count, 0),
    )
    return (await Promise.all(sent)).reduce((sum, bytes) => sum + bytes, 0)
  }

  /** Adds over all ranks what the step's decision, and its report, are made of. */
  async #reduceTail(
    step: number,
    group: Group,
    { place }: PipelineGroup,
    votes: Votes,
    totals: Float64Array,
  ): Promise<Float32Array> {
    const { state } = this.#parts
    const values = state.floats(this.#tail, tail.floats)
    values.set(totals)
    castVotes(values, votes)
    values[tail.bubble] = this.#waited
    if (place.replica === 0)
      for (const [index, name] of this.#networks.entries()) {
        if (!state.networks.has(name)) continue
        squaresOf(state, name, 0, 1)
        values[tail.squares + index] = sumOfSquares(state, name)
      }
    await group.allReduce(step, wholeGroupBucket, [this.#tail], tail.floats, tail.floats)
    return values.slice()
  }
}

function samplesOf(
  { batches: [range] }: StepPlan,
  tails: Float32Array,
): Pick<StepResult['committed'], 'batches' | 'images'> {
  const [count = 0, low = 0, high = 0, mixedLow = 0, mixedHigh = 0] = tails.subarray(tail.checksum)
  return range ? { batches: [[count, low, high, mixedLow, mixedHigh]], images: count } : { batches: [], images: 0 }
}
