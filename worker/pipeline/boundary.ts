import { mostOpen } from '../../shared/pipeline/schedule.ts'
import type { Stage } from '../../shared/pipeline/stages.ts'
import { frameKind } from '../../shared/protocol/frame.ts'
import type { PipelineGroup } from '../step/group.ts'
import type { ModelState } from '../step/model-state.ts'

/** What goes out lies still until it has left; meanwhile the next is made. */
const outgoing = 2

const receiptFloats = 16

/**
 * Where a stage's inputs, outputs and their gradients lie in the shared memory: of as many micro-batches at once as 1F1B has open,
 * and no more.
 */
export class Boundary {
  readonly #state: ModelState
  readonly #inputSize: number
  readonly #outputSize: number
  readonly #x: readonly number[]
  readonly #dx: readonly number[]
  readonly #y: readonly number[]
  readonly #dy: number
  /** Floats that say nothing. */
  readonly #receipts: number
  readonly #leaving = new Map<number, Promise<number>>()

  /** `rows`: of the largest micro-batch. */
  constructor(state: ModelState, stage: Stage, number: number, stages: number, rows: number) {
    this.#state = state
    this.#inputSize = stage.first ? 0 : stage.inputShape.reduce((product, extent) => product * extent, 1)
    this.#outputSize = stage.outputSize ?? 0
    const slots = (count: number, size: number) =>
      size === 0 ? [] : Array.from({ length: count }, () => state.arena.allocate(rows * size * 4))
    this.#x = slots(mostOpen(number, stages), this.#inputSize)
    this.#dx = slots(outgoing, this.#inputSize)
    this.#y = slots(outgoing, this.#outputSize)
    this.#dy = slots(1, this.#outputSize)[0] ?? 0
    this.#receipts = state.arena.allocate(receiptFloats * 4)
  }

  /** The input [rows, inputSize] of a micro-batch, once the stage before has given it. It lies there until `mostOpen` others have come. */
  async takeInput({ place, take }: PipelineGroup, rank: number, step: number, microBatch: number, rows: number) {
    const [offset, count] = [this.#slot(this.#x, microBatch), rows * this.#inputSize]
    const kind = frameKind.activation
    if (place.stage > 0) await take(rank - 1, { kind, step, microBatch, offset, count })
    return this.#state.floats(offset, count)
  }

  input(microBatch: number, rows: number): Float32Array {
    return this.#state.floats(this.#slot(this.#x, microBatch), rows * this.#inputSize)
  }

  /** d loss / d output [rows, outputSize] from the stage behind. */
  async takeGradient({ take }: PipelineGroup, rank: number, step: number, microBatch: number, rows: number) {
    const count = rows * this.#outputSize
    await take(rank + 1, { kind: frameKind.activationGradient, step, microBatch, offset: this.#dy, count })
    return this.#state.floats(this.#dy, count)
  }

  /** Gives an output to the stage behind. */
  async giveOutput({ give }: PipelineGroup, rank: number, step: number, microBatch: number, y: Float32Array) {
    const offset = this.#slot(this.#y, microBatch)
    await this.#leaving.get(offset)
    this.#state.floats(offset, y.length).set(y)
    this.#leave(offset, give(rank + 1, { kind: frameKind.activation, step, microBatch, offset, count: y.length }))
  }

  /** Where d loss / d input of a micro-batch may be written. */
  async inputGradient(microBatch: number, rows: number): Promise<Float32Array> {
    const offset = this.#slot(this.#dx, microBatch)
    await this.#leaving.get(offset)
    return this.#state.floats(offset, rows * this.#inputSize)
  }

  /** Gives what lies there to the stage before. */
  giveGradient({ give }: PipelineGroup, rank: number, step: number, microBatch: number, rows: number): void {
    const offset = this.#slot(this.#dx, microBatch)
    const count = rows * this.#inputSize
    this.#leave(offset, give(rank - 1, { kind: frameKind.activationGradient, step, microBatch, offset, count }))
  }

  /** Waits until the stage behind is done with a micro-batch that no gradient comes back for. */
  async takeReceipt({ take }: PipelineGroup, rank: number, step: number, microBatch: number, _rows: number) {
    const offset = this.#receipts
    await take(rank + 1, { kind: frameKind.activationGradient, step, microBatch, offset, count: receiptFloats })
  }

  /** Tells the stage before that this one is. */
  async giveReceipt({ give }: PipelineGroup, rank: number, step: number, microBatch: number, _rows: number) {
    const offset = this.#receipts
    await give(rank - 1, { kind: frameKind.activationGradient, step, microBatch, offset, count: receiptFloats })
  }

  #leave(offset: number, left: Promise<number>): void {
    left.catch(() => {}) // whoever waits for an answer hears of it
    this.#leaving.set(offset, left)
  }

  #slot(slots: readonly number[], microBatch: number): number {
    return slots[microBatch % Math.max(1, slots.length)] ?? 0
  }
}
