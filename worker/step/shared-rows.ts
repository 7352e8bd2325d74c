import { assert } from '../../shared/core/errors.ts'
import type { ModelState } from './model-state.ts'
import type { SampleSource } from './step-inputs.ts'

interface Place {
  readonly sampleBytes: number
  readonly sampleCount: number
  readonly hasLabels: boolean
  /** Byte offsets in the shared memory. */
  readonly rows: number
  readonly labels: number
}

/** The samples of a rank's batch in the memory that its threads share: the main thread puts them there, the others read them. */
export class SharedRows implements SampleSource {
  readonly sampleCount: number
  readonly sampleBytes: number
  /** Samples of the batch, in the order of their rows. Neighbours are asked for, again in order. */
  ids: readonly number[] = []
  readonly #state: ModelState
  readonly #place: Place

  constructor(state: ModelState, place: Place) {
    this.#state = state
    this.#place = place
    this.sampleCount = place.sampleCount
    this.sampleBytes = place.sampleBytes
  }

  /** Puts the samples of a whole batch in place. */
  async fill(source: SampleSource, ids: readonly number[]): Promise<void> {
    const rows = await source.rows(ids)
    for (const [index, row] of rows.entries()) this.#row(index).set(row)
    if (this.#place.hasLabels) this.#labels(0, ids.length).set(await source.labels(ids))
  }

  rows(ids: readonly number[]): Promise<Uint8Array[]> {
    const first = this.#rowOf(ids)
    return Promise.resolve(ids.map((_, index) => this.#row(first + index)))
  }

  labels(ids: readonly number[]): Promise<Uint8Array> {
    assert(this.#place.hasLabels, 'a data set without labels was refused before')
    return Promise.resolve(this.#labels(this.#rowOf(ids), ids.length))
  }

  #rowOf([first = 0]: readonly number[]): number {
    const row = this.ids.indexOf(first)
    assert(row >= 0, 'a sample of the batch is asked for')
    return row
  }

  #row(index: number): Uint8Array {
    return this.#state.bytes(this.#place.rows + index * this.sampleBytes, this.sampleBytes)
  }

  #labels(first: number, count: number): Uint8Array {
    return this.#state.bytes(this.#place.labels + first, count)
  }
}
