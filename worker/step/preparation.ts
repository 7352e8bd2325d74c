import { joinFloats } from '../../shared/core/join-floats.ts'
import type { LaneRange } from '../../shared/core/schedule.ts'
import type { Backend, BoundParameters, HeldTensor, Tensor } from '../backend/backend.ts'
import type { Phase, Prepare } from '../model/model.ts'

/** Where phases find what has been made of their noise. */
export type Prepared = Pick<Preparation, 'make' | 'rows' | 'release'>

/** Rows of a tensor that several phases share. */
interface Share {
  readonly held: HeldTensor
  readonly start: number
}

/**
 * What phases read that no phase before them moves: the five discriminator updates of a GAN see the same generator, so all
 * their fakes are made in one product, which reads the generator's weights once.
 */
export class Preparation {
  readonly #backend: Backend
  readonly #bound: BoundParameters
  readonly #latentSize: number
  #held: HeldTensor[] = []
  #shares = new Map<string, Share>()

  constructor(backend: Backend, bound: BoundParameters, latentSize: number) {
    this.#latentSize = latentSize
    this.#backend = backend
    this.#bound = bound
  }

  /** `noise`: of a phase, by its index, for these lanes. */
  make(phases: readonly Phase[], lanes: LaneRange, noise: (index: number) => Float32Array): void {
    const users = new Map<Prepare, number[]>()
    for (const [index, { prepare }] of phases.entries())
      if (prepare) users.set(prepare, [...(users.get(prepare) ?? []), index])
    for (const [prepare, indices] of users) this.#makeOne(prepare, indices, lanes, noise)
  }

  #makeOne(
    prepare: Prepare,
    indices: readonly number[],
    lanes: LaneRange,
    noise: (index: number) => Float32Array,
  ): void {
    const size = this.#latentSize
    const parts = indices.map(noise)
    const all = joinFloats(parts)
    if (all.length === 0) return
    const starts: number[] = []
    let floats = 0
    for (const part of parts) {
      starts.push(floats / size)
      floats += part.length
    }
    const { ops } = this.#backend
    const held = this.#backend.hold(() => prepare(ops, this.#bound.tensors, ops.input(all, [all.length / size, size])))
    this.#held.push(held)
    for (const [place, index] of indices.entries())
      this.#shares.set(preparedKey(index, lanes), { held, start: starts[place] ?? 0 })
  }

  /** Within an evaluation: the rows of one phase and these lanes. */
  rows(index: number, lanes: LaneRange, count: number): Tensor | null {
    const share = this.#shares.get(preparedKey(index, lanes))
    return share ? this.#backend.ops.rows(share.held.tensor, share.start, count) : null
  }

  release(): void {
    for (const held of this.#held) held.release()
    this.#held = []
    this.#shares = new Map()
  }
}

/** Of what a phase, by its index, and these lanes have. */
export const preparedKey = (index: number, { first, last }: LaneRange): string => `${index}/${first}/${last}`
