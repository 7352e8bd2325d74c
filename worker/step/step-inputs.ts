import type { RunConfig } from '../../shared/core/config.ts'
import { assert, RingleaderError } from '../../shared/core/errors.ts'
import { permutation, randomStream } from '../../shared/core/random.ts'
import { type BatchRange, type LaneRange, rowsOfLane } from '../../shared/core/schedule.ts'
import type { ModelState } from './model-state.ts'

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
  readonly #pixelRange: readonly [number, number]
  /** Regions of the shared memory: pixels as floats, and as bytes. */
  readonly #floats: number
  readonly #bytes: number
  #order: { epoch: number; ids: Uint32Array } | null = null

  constructor(config: RunConfig, state: ModelState, source: SampleSource, pixelRange: readonly [number, number]) {
    this.#config = config
    this.#state = state
    this.#source = source
    this.#pixelRange = pixelRange
    const pixels = config.batchSize * source.sampleBytes
    this.#floats = state.arena.allocate(pixels * 4)
    this.#bytes = state.arena.allocate(pixels)
  }

  /** Each lane draws its own noise, keyed by (seed, step, phase, lane): nobody's noise depends on the world size. */
  noise(step: number, phase: number, owned: LaneRange, globalRows: number, size: number): Float32Array {
    const { lanes, seed } = this.#config
    let floats = 0
    for (let lane = owned.first; lane < owned.last; lane++) {
      const rows = rowsOfLane(lane, lanes, globalRows)
      const count = (rows.end - rows.start) * size
      assert((floats + count) * 4 <= this.#state.scratchBytes, 'noise fits its region')
      this.#state.kernel.philoxNormal(this.#state.scratch + floats * 4, count, {
        seed,
        stream: randomStream.noise + 256 * phase,
        step,
        lane,
      })
      floats += count
    }
    return this.#state.floats(this.#state.scratch, floats).slice()
  }

  /** Pixels [rows, pixels] in the model's range, in a place that the next call writes over. */
  async pixels(ids: readonly number[]): Promise<Float32Array> {
    const rows = await this.#source.rows(ids)
    const { sampleBytes } = this.#source
    const [low, high] = this.#pixelRange
    const { kernel } = this.#state
    const bytes = this.#state.bytes(this.#bytes, ids.length * sampleBytes)
    for (const [row, pixels] of rows.entries()) bytes.set(pixels, row * sampleBytes)
    kernel.scaleBytes(this.#floats, this.#bytes, bytes.length, (high - low) / 255, low)
    return this.#state.floats(this.#floats, bytes.length)
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
