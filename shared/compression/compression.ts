import type { Range } from '../collective/chunks.ts'
import { assert } from '../core/errors.ts'
import { type Kernel, loadKernel } from '../kernel/kernel.ts'
import type { Payload } from '../transport/transport.ts'
import { type Codec, makeCodec, type ResidualPlaces } from './codec.ts'
import { type CompressionPlan, hasFeedback } from './compression-plan.ts'
import { type ResidualOutcome, Residuals } from './residuals.ts'

/** Compression of the reductions of one worker, over all its groups. */
export class Compression {
  readonly #codec: Codec
  readonly #kernel: Kernel
  readonly #memory: WebAssembly.Memory
  readonly #plan: CompressionPlan
  readonly #residuals: Residuals | null

  constructor(memory: WebAssembly.Memory, plan: CompressionPlan) {
    this.#kernel = loadKernel(memory)
    this.#codec = makeCodec(plan.name, plan.ratio, this.#kernel)
    this.#memory = memory
    this.#plan = plan
    const floats = (offset: number, count: number) => new Float32Array(memory.buffer, offset, count)
    this.#residuals = hasFeedback(plan.name) ? new Residuals(plan.residuals, floats) : null
  }

  /** Sums have to be made in one place: what is passed on would have ever more elements. */
  get sparse(): boolean {
    return this.#plan.name === 'topk'
  }

  /** Bytes of so many elements on the wire. */
  encodedBytes(count: number): number {
    return this.#codec.encodedBytes(count)
  }

  /** A bucket of `count` floats at a byte offset that is about to be reduced; its first `exact` floats travel as they are. */
  open(offset: number, count: number, exact: number): CompressedBucket {
    assert(exact >= count || exact % 16 === 0, 'blocks begin behind what is exact')
    const residual = exact < count ? (this.#residuals?.open(offset + exact * 4, count - exact) ?? null) : null
    return new CompressedBucket(this.#codec, this.#memory, this.#plan.encoded, exact, residual)
  }

  /** A bucket that is reduced over one rank: nothing is sent, and nothing stays left over. */
  flush(offset: number, count: number, exact: number): void {
    if (exact >= count) return
    this.#residuals?.flush(offset + exact * 4, count - exact, (target, source) =>
      this.#kernel.add(target.byteOffset, source.byteOffset, target.length),
    )
  }

  settle(outcome: ResidualOutcome): void {
    this.#residuals?.settle(outcome)
  }
}

/** Elements that are decoded at once; their encoding stays in a core's cache. */
const pieceElements = 1 << 16

/** One bucket under reduction: what its frames carry. */
export class CompressedBucket {
  readonly #codec: Codec
  readonly #memory: WebAssembly.Memory
  readonly #encoded: CompressionPlan['encoded']
  readonly #exact: number
  readonly #residual: ResidualPlaces | null

  constructor(
    codec: Codec,
    memory: WebAssembly.Memory,
    encoded: CompressionPlan['encoded'],
    exact: number,
    residual: ResidualPlaces | null,
  ) {
    this.#codec = codec
    this.#memory = memory
    this.#encoded = encoded
    this.#exact = exact
    this.#residual = residual
  }

  /**
   * Elements of this rank's memory as they are sent; in the memory stays what the others will decode. `fresh`: they leave this
   * rank for the first time in this reduction, so what they lose goes to the residual. The bytes are valid until the next call.
   */
  encode(values: Float32Array, range: Range, fresh: boolean): Uint8Array {
    const exact = this.#exactOf(range)
    const { offset, bytes } = this.#encoded
    const length = this.#bytesOf(range)
    assert(length <= bytes, 'there is room for the encoding of a segment')
    const encoded = new Uint8Array(this.#memory.buffer, offset, length)
    encoded.set(new Uint8Array(values.buffer, values.byteOffset, exact * 4))
    const at = values.byteOffset + exact * 4
    const residual = this.#residual
    const places = fresh && residual ? { from: at + residual.from, to: at + residual.to } : null
    if (exact < values.length) this.#codec.encode(at, offset + exact * 4, values.length - exact, places)
    return encoded
  }

  /** A frame's payload as the floats that it means, which can be brought into the shared memory alone. Null: it has another length. */
  open(payload: Payload, range: Range): Payload | null {
    if (payload.byteLength !== this.#bytesOf(range)) return null
    const exact = this.#exactOf(range)
    const count = range.end - range.start
    return {
      byteLength: count * 4,
      heldBytes: payload.heldBytes,
      copyTo: (target, from = 0) => {
        const first = from / 4
        const last = first + target.byteLength / 4
        const plain = Math.max(0, Math.min(exact, last) - first)
        if (plain > 0) payload.copyTo(target.subarray(0, plain * 4), from)
        for (let at = first + plain; at < last; at += pieceElements) {
          const end = Math.min(last, at + pieceElements)
          this.#decode(payload, target.byteOffset + (at - first) * 4, at - exact, end - exact, exact, count - exact)
        }
      },
    }
  }

  /** Elements [first, last) of the `count` that are encoded behind the exact ones. */
  #decode(payload: Payload, target: number, first: number, last: number, exact: number, count: number): void {
    const { encodedBytes, blockElements, decode } = this.#codec
    const { offset } = this.#encoded
    const start = encodedBytes(first - (first % blockElements))
    const end = encodedBytes(Math.min(count, Math.ceil(last / blockElements) * blockElements))
    payload.copyTo(new Uint8Array(this.#memory.buffer, offset, end - start), exact * 4 + start)
    decode(target, offset, first, last, count)
  }

  /**
   * Byte of a file between workers of one host at which an element's encoding goes, within the bucket. Where results are sent
   * again in other pieces, each element has the same bytes in the same place (reduction.ts).
   */
  positionOf(element: number): number {
    const exact = Math.min(element, this.#exact)
    const { positional, encodedBytes } = this.#codec
    return positional ? exact * 4 + encodedBytes(element - exact) : element * 4
  }

  #exactOf({ start, end }: Range): number {
    return Math.max(0, Math.min(end, this.#exact) - start)
  }

  #bytesOf(range: Range): number {
    const exact = this.#exactOf(range)
    return exact * 4 + this.#codec.encodedBytes(range.end - range.start - exact)
  }
}
