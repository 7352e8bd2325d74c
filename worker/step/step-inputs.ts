import type { RunConfig } from '../../shared/core/config.ts'
import { RingleaderError } from '../../shared/core/errors.ts'
import { permutation, randomStream } from '../../shared/core/random.ts'
import { type BatchRange, type LaneRange, rowsOfLane } from '../../shared/core/schedule.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import type { Phase } from '../model/model.ts'
import { isFlipped, mirror } from './flip.ts'
import type { ModelState } from './model-state.ts'
import { type Distribution, drawNoise } from './noise.ts'

/** Where the rows of a batch come from. */
export interface SampleSource {
  readonly sampleCount: number
  readonly sampleBytes: number
  /** Pixels 0…255 of the samples, in order. */
  rows(ids: readonly number[]): Promise<Uint8Array[]>
  /** Labels of the samples, in order. Fails where the data set has none. */
  labels(ids: readonly number[]): Promise<Uint8Array>
}

/** What the lanes of a step read: a pure function of (seed, step, lane), whoever computes them. */
export class StepInputs {
  readonly #config: RunConfig
  readonly #state: ModelState
  readonly #source: SampleSource
  readonly #spec: ModelSpec
  /** Regions of the shared memory: pixels as floats, and as bytes. */
  readonly #floats: number
  readonly #bytes: number
  #order: { epoch: number; ids: Uint32Array } | null = null

  constructor(config: RunConfig, state: ModelState, source: SampleSource, spec: ModelSpec) {
    this.#config = config
    this.#state = state
    this.#source = source
    this.#spec = spec
    const pixels = config.batchSize * source.sampleBytes
    this.#floats = state.arena.allocate(pixels * 4)
    this.#bytes = state.arena.allocate(pixels)
  }

  /** Latent vectors of these lanes, [rows, latentSize]. A VAE's bound is about normal noise, whatever its samples are made from. */
  noise(step: number, phase: number, owned: LaneRange, globalRows: number): Float32Array {
    const { family, noise, latentSize } = this.#spec
    const distribution = family === 'vae' ? 'normal' : noise
    return this.#draw(distribution, latentSize, randomStream.noise, step, phase, owned, globalRows)
  }

  /** What a phase draws besides, by name, [rows, size] each. */
  draws(
    phase: Phase,
    step: number,
    index: number,
    owned: LaneRange,
    globalRows: number,
  ): [name: string, values: Float32Array, size: number][] {
    return Object.entries(phase.draws).map(([name, { size, distribution }], number) => {
      const from = distribution === 'uniform' ? 'unit' : 'normal'
      return [name, this.#draw(from, size, randomStream.draws + number, step, index, owned, globalRows), size]
    })
  }

  /** Each lane draws its own, keyed by (seed, step, phase, lane): nobody's noise depends on the world size. */
  #draw(
    distribution: Distribution,
    size: number,
    stream: number,
    step: number,
    phase: number,
    owned: LaneRange,
    globalRows: number,
  ): Float32Array {
    const { lanes, seed } = this.#config
    let floats = 0
    for (let lane = owned.first; lane < owned.last; lane++) {
      const { start, end } = rowsOfLane(lane, lanes, globalRows)
      const key = { seed, stream: stream + 256 * phase, step, lane }
      drawNoise(this.#state, distribution, floats, end - start, size, key)
      floats += (end - start) * size
    }
    return this.#state.floats(this.#state.scratch, floats).slice()
  }

  /** Pixels [rows, pixels] in the model's range, in a place that the next call writes over. */
  async pixels(epoch: number, ids: readonly number[]): Promise<Float32Array> {
    const rows = await this.#source.rows(ids)
    const { sampleBytes } = this.#source
    const [low, high] = this.#spec.pixelRange
    const { kernel } = this.#state
    const bytes = this.#state.bytes(this.#bytes, ids.length * sampleBytes)
    for (const [row, pixels] of rows.entries()) bytes.set(pixels, row * sampleBytes)
    if (this.#config.flip) {
      const { width, channels } = this.#spec.image
      for (const [row, id] of ids.entries())
        if (isFlipped(this.#config.seed, epoch, id))
          mirror(bytes.subarray(row * sampleBytes, (row + 1) * sampleBytes), width, channels)
    }
    kernel.scaleBytes(this.#floats, this.#bytes, bytes.length, (high - low) / 255, low)
    return this.#state.floats(this.#floats, bytes.length)
  }

  /** One-hot labels [rows, classes] where there are no samples to take them from: each class alike. */
  drawnLabels(step: number, phase: number, owned: LaneRange, globalRows: number, classes: number): Float32Array {
    const draws = this.#draw('unit', 1, randomStream.labels, step, phase, owned, globalRows)
    const rows = new Float32Array(draws.length * classes)
    for (const [row, draw] of draws.entries()) rows[row * classes + Math.floor(draw * classes)] = 1
    return rows
  }

  /** One-hot labels [rows, classes]. */
  async labels(ids: readonly number[], classes: number): Promise<Float32Array> {
    const labels = await this.#source.labels(ids)
    const rows = new Float32Array(ids.length * classes)
    for (const [row, label] of labels.entries()) {
      if (label >= classes)
        throw new RingleaderError(
          'labels',
          `sample ${ids[row]} has label ${label}; this model knows 0 to ${classes - 1}`,
        )
      rows[row * classes + label] = 1
    }
    return rows
  }

  /** Numbers of the samples at these positions of an epoch's order. */
  ids(epoch: number, range: BatchRange): Uint32Array {
    if (this.#order?.epoch !== epoch)
      this.#order = { epoch, ids: permutation(this.#config.seed, epoch, this.#source.sampleCount) }
    return this.#order.ids.subarray(range.start, range.end)
  }
}
