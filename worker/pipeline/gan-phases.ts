import { joinFloats } from '../../shared/core/join-floats.ts'
import { type LaneRange, rowsOfEachLane, rowsOfLanes } from '../../shared/core/schedule.ts'
import { labelClasses } from '../../shared/model/spec.ts'
import type { Stage } from '../../shared/pipeline/stages.ts'
import type { Tensor } from '../backend/backend.ts'
import { gan } from '../model/gan.ts'
import type { Phase } from '../model/model.ts'
import { LaneGradients } from '../step/lane-gradients.ts'
import { tail } from '../step/model-state.ts'
import { type Prepared, preparedKey } from '../step/preparation.ts'
import { evaluateStage, forward } from './stage-forward.ts'
import { StageGradients } from './stage-gradients.ts'
import type { StagePhase, StageResult } from './stage-phase.ts'
import {
  type MicroBatch,
  microBatchesOf,
  runStage,
  type StageParts,
  type StagePlace,
  type StageWork,
} from './stage-run.ts'

const nothing: StageResult = { sums: 0, tail: new Float64Array(tail.floats) }

/**
 * What a stage of a GAN does in a step. The fakes of all updates of the discriminator go through the stages first, as a plain run makes them in one
 * product; then the last stage, which holds the discriminator, updates it as a plain run does while the others wait; then the micro-batches of the
 * generator's update go through all stages and back.
 */
export function ganPhases(parts: StageParts, place: StagePlace): StagePhase[] {
  const { config, spec, stage } = parts
  const { plan } = place
  const isLast = stage.outputSize === null
  const phases = gan(isLast ? stage.spec : spec, config, isLast).phases(plan.batches.length, plan)
  const fakes = new Fakes(parts, place, phases)
  const judging = isLast ? judgingOf(parts, fakes) : null
  return phases.map((phase, index): StagePhase => {
    const { name, updates, scalars, batch } = phase
    return {
      ...{ name, updates, scalars, batch },
      async run() {
        if (batch === null) return new GeneratorUpdate(parts, place, phase, index, fakes.numbers).run()
        await fakes.before(index)
        return judging ? judged(judging, phase, index) : nothing
      },
    }
  })

  async function judged(gradients: LaneGradients, phase: Phase, index: number): Promise<StageResult> {
    const { group, deal, watch } = place
    const share = { rank: group.place.replica, deal, pieces: 1 }
    const sums = await gradients.compute(phase, index, plan, share, 0, watch, () => {})
    const total = new Float64Array(tail.floats)
    for (let part = 0; part < sums; part++)
      for (const [at, value] of parts.state.tail('discriminator', part).entries()) total[at] = (total[at] ?? 0) + value
    return { sums, tail: total }
  }
}

function judgingOf({ config, state, backend, bound, inputs, source, stage }: StageParts, fakes: Fakes): LaneGradients {
  return new LaneGradients(config, state, backend, bound, inputs, source.sampleBytes, stage.spec, fakes)
}

/** Images that the stages make for the updates of the discriminator. The last stage has them. */
class Fakes implements Prepared {
  readonly #parts: StageParts
  readonly #place: StagePlace
  readonly #phases: readonly number[]
  readonly #made = new Map<string, Float32Array>()
  /** Micro-batches that have gone through: the next one's number. */
  numbers = 0

  constructor(parts: StageParts, place: StagePlace, phases: readonly Phase[]) {
    this.#parts = parts
    this.#place = place
    this.#phases = phases.flatMap(({ batch }, index) => (batch === null ? [] : [index]))
  }

  /** Before a phase: those of all at once, or of this one, where labels say what to make. */
  async before(index: number): Promise<void> {
    if (this.#parts.spec.conditional) await this.#pass([index])
    else if (this.numbers === 0) await this.#pass(this.#phases)
  }

  async #pass(phases: readonly number[]): Promise<void> {
    const { config, stage } = this.#parts
    const rowsOf = (lanes: LaneRange) =>
      phases.map((index) => {
        const { first, last } = rowsOfLanes(lanes, config.lanes, globalRowsOf(this.#place, index))
        return last - first
      })
    const batches = microBatchesOf(config, this.#place, config.batchSize).map(({ lanes }): MicroBatch => {
      return { lanes, rows: rowsOf(lanes).reduce((sum, rows) => sum + rows, 0) }
    })
    const work: StageWork = {
      goesBack: false,
      forward: (batch, x) => this.#forward(phases, batch, x),
      backward: async (batch, x) => {
        if (stage.outputSize !== null || batch.rows === 0) return
        const made = x && !hasGenerator(stage) ? x.slice() : await this.#forward(phases, batch, x)
        const pixels = made.length / batch.rows
        let start = 0
        for (const [position, rows] of rowsOf(batch.lanes).entries()) {
          this.#made.set(preparedKey(phases[position] ?? 0, batch.lanes), made.slice(start, start + rows * pixels))
          start += rows * pixels
        }
      },
    }
    await runStage(this.#parts, this.#place, batches, work, this.numbers)
    this.numbers += batches.length
  }

  async #forward(phases: readonly number[], { rows, lanes }: MicroBatch, x: Float32Array | null) {
    const { inputs, backend, bound, stage, spec, config } = this.#parts
    const { step, epoch, batches } = this.#place.plan
    const { ops } = backend
    const noise =
      x ?? joinFloats(phases.map((index) => inputs.noise(step, index, lanes, globalRowsOf(this.#place, index))))
    const [index = 0] = phases
    const { start = 0 } = batches[index] ?? {}
    const { first, last } = rowsOfLanes(lanes, config.lanes, globalRowsOf(this.#place, index))
    const ids = () => [...inputs.ids(epoch, { start: start + first, end: start + last })]
    const labels = spec.conditional ? await inputs.labels(ids(), labelClasses) : null
    const made = await backend.compute(() => {
      const given = ops.input(noise, [rows, noise.length / rows])
      const told = labels && ops.input(labels, [rows, labelClasses])
      return forward(ops, onlyGenerator(stage), bound.tensors, { x: given, noise: null, labels: told, rows }).y
    })
    this.#place.watch.lap('prepare')
    return made
  }

  /** They come through the stages. */
  make(): void {}

  release(): void {
    this.#made.clear()
  }

  /** Within an evaluation, as Preparation.rows. */
  rows(index: number, lanes: LaneRange, count: number): Tensor | null {
    const made = this.#made.get(preparedKey(index, lanes))
    return made ? this.#parts.backend.ops.input(made, [count, made.length / count]) : null
  }
}

/** The generator's own update. */
class GeneratorUpdate implements StageWork {
  readonly goesBack = true
  readonly #parts: StageParts
  readonly #place: StagePlace
  readonly #phase: Phase
  readonly #index: number
  readonly #firstNumber: number
  readonly #globalRows: number
  readonly #gradients: StageGradients
  readonly #tail = new Float64Array(tail.floats)

  constructor(parts: StageParts, place: StagePlace, phase: Phase, index: number, firstNumber: number) {
    this.#parts = parts
    this.#place = place
    this.#phase = phase
    this.#index = index
    this.#firstNumber = firstNumber
    this.#globalRows = parts.config.batchSize
    this.#gradients = new StageGradients(parts, phase.updates, place.watch)
  }

  async run(): Promise<StageResult> {
    const batches = microBatchesOf(this.#parts.config, this.#place, this.#globalRows)
    await runStage(this.#parts, this.#place, batches, this, this.#firstNumber)
    return { sums: this.#gradients.sums, tail: this.#tail }
  }

  async forward(batch: MicroBatch, x: Float32Array | null): Promise<Float32Array> {
    const { stage, backend, bound } = this.#parts
    const { ops } = backend
    const inputs = this.#reads(batch, x)
    const y = await backend.compute(() => forward(ops, stage, bound.tensors, this.#tensors(inputs, batch, null)).y)
    this.#place.watch.lap('forward')
    return y
  }

  async backward(
    batch: MicroBatch,
    x: Float32Array | null,
    dy: Float32Array | null,
    dx: Float32Array | null,
  ): Promise<void> {
    if (batch.rows === 0) return this.#gradients.addNothing(batch)
    const { stage, backend, bound, config, inputs } = this.#parts
    const { ops } = backend
    const reads = this.#reads(batch, x)
    const { rows, lanes } = batch
    const globalRows = this.#globalRows
    const isLast = stage.outputSize === null
    const { step } = this.#place.plan
    const draws = isLast ? inputs.draws(this.#phase, step, this.#index, lanes, globalRows) : []
    this.#place.watch.lap('input')
    const scalars = await this.#gradients.add(batch, x && dx && { x, dx }, (held) => {
      const tensors = this.#tensors(reads, batch, held)
      if (dy) {
        const behind = { ...tensors, images: null, dy: ops.input(dy, [rows, dy.length / rows]), globalRows }
        return evaluateStage(ops, stage, bound.tensors, behind, { beta: 1, freeBits: 0 })
      }
      return this.#phase.evaluate(ops, bound.tensors, {
        ...{ images: null, noise: tensors.x, labels: tensors.labels, rows, globalRows },
        draws: Object.fromEntries(draws.map(([name, values, size]) => [name, ops.input(values, [rows, size])])),
        laneRows: rowsOfEachLane(lanes, config.lanes, globalRows),
      })
    })
    if (isLast) this.#tail[tail.loss] = (this.#tail[tail.loss] ?? 0) + (scalars.loss ?? Number.NaN)
  }

  #reads({ lanes }: MicroBatch, x: Float32Array | null) {
    const { inputs, spec } = this.#parts
    const at = [this.#place.plan.step, this.#index, lanes, this.#globalRows] as const
    const labels = spec.conditional ? inputs.drawnLabels(...at, labelClasses) : null
    const reads = { x: x ?? inputs.noise(...at), labels }
    this.#place.watch.lap('input')
    return reads
  }

  #tensors({ x, labels }: { x: Float32Array; labels: Float32Array | null }, { rows }: MicroBatch, held: Tensor | null) {
    const { ops } = this.#parts.backend
    return {
      x: held ?? ops.input(x, [rows, x.length / rows]),
      ...{ noise: null, rows, labels: labels && ops.input(labels, [rows, labelClasses]) },
    }
  }
}

const hasGenerator = ({ spec }: Stage) => spec.networks.some(({ name }) => name === 'generator')

/** A stage without the discriminator. */
function onlyGenerator(stage: Stage): Stage {
  return { ...stage, spec: { ...stage.spec, networks: stage.spec.networks.filter(({ name }) => name === 'generator') } }
}

function globalRowsOf({ plan }: StagePlace, index: number): number {
  const range = plan.batches[index]
  return range ? range.end - range.start : 0
}
