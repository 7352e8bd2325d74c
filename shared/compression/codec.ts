import type { RunConfig } from '../core/config.ts'
import { assert } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Kernel } from '../kernel/kernel.ts'

/** Ways to send gradients in fewer bytes. */
export type CompressionName = Exclude<RunConfig['compression'], 'none'>

/** Byte offsets of the residuals of the elements to be encoded: what was left over, and where to put what is left over now. */
export interface ResidualPlaces {
  readonly from: number
  readonly to: number
}

/** One way to write floats in fewer bytes; places are byte offsets of one wasm memory. */
export interface Codec {
  /** Elements that are encoded together: a run of them can be decoded on its own. */
  readonly blockElements: number
  /** An element's bytes and their place do not depend on where a range begins and ends, as long as it is at multiples of 16. */
  readonly positional: boolean
  encodedBytes(count: number): number
  /** `values` become what the receiver will decode. Null: nothing is lost, since they were decoded before. */
  encode(values: number, target: number, count: number, residual: ResidualPlaces | null): void
  /** Elements [first, last) of `count` whose encoding, from the block of `first` on, lies at `source`. */
  decode(target: number, source: number, first: number, last: number, count: number): void
}

/** `ratio`: part of the elements that top-k sends. */
export function makeCodec(name: CompressionName, ratio: number | null, kernel: Kernel): Codec {
  switch (name) {
    case 'bf16':
      return halves(kernel, 'Bf16')
    case 'fp16':
      return halves(kernel, 'Fp16')
    case 'int8':
      return int8(kernel)
    case 'topk':
      assert(ratio !== null, 'top-k has a ratio')
      return topK(kernel, ratio)
    default:
      return name satisfies never
  }
}

/** Two bytes an element: bf16 has 8 bits and float32's range, fp16 11 bits within ±65504. */
function halves(kernel: Kernel, kind: 'Bf16' | 'Fp16'): Codec {
  return {
    blockElements: 1,
    positional: true,
    encodedBytes: (count) => 2 * count,
    encode: (values, target, count, residual) =>
      kernel.code(`encode${kind}`, values, target, count, residual?.from ?? 0, residual?.to ?? 0),
    decode: (target, source, first, last) => kernel.code(`decode${kind}`, target, source, last - first),
  }
}

const int8Block = 16

/** Sixteen bytes behind a shared exponent: 17 bytes for 64. */
function int8(kernel: Kernel): Codec {
  return {
    blockElements: int8Block,
    positional: true,
    encodedBytes: (count) => count + Math.ceil(count / int8Block),
    encode: (values, target, count, residual) =>
      kernel.code('encodeInt8', values, target, count, residual?.from ?? 0, residual?.to ?? 0),
    decode: (target, source, first, last) => kernel.code('decodeInt8', target, source, last - first),
  }
}

/**
 * The largest part of each block, as position and float32 (Aji & Heafield 2017; Stich et al. 2018): 6 bytes for each that is
 * sent. What is not sent stays in the residual until it is large enough. A block is short enough for positions of two bytes
 * and for the core's first cache.
 */
function topK(kernel: Kernel, ratio: number): Codec {
  const block = limits.topKBlockElements
  const kept = (count: number) => Math.ceil(ratio * count)
  const bytes = (count: number) => 6 * (Math.floor(count / block) * kept(block) + kept(count % block))
  return {
    blockElements: block,
    positional: false,
    encodedBytes: bytes,
    encode(values, target, count, residual) {
      assert(residual, 'sparse sums are made in one place and not passed on')
      for (let first = 0; first < count; first += block) {
        const size = Math.min(block, count - first)
        const places = [values, residual.from, residual.to].map((place) => place + first * 4)
        const [at = 0, from = 0, to = 0] = places
        kernel.code('encodeTopK', at, target + bytes(first), size, kept(size), from, to)
      }
    },
    decode(target, source, first, last, count) {
      const start = first - (first % block)
      for (let at = start; at < last; at += block) {
        const size = Math.min(block, count - at)
        const from = Math.max(first, at)
        const until = Math.min(last, at + size)
        const encoded = source + bytes(at) - bytes(start)
        kernel.code('decodeTopK', target + (from - first) * 4, encoded, kept(size), from - at, until - at)
      }
    },
  }
}
