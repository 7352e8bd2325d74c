import type { Kernel } from '../kernel/kernel.ts'
import type { AllReduceMemory } from './sums.ts'

/** A shared wasm memory as reductions see it; `scratch` is its region, in bytes, for parts on their way into a sum. */
export function reduceMemory(
  kernel: Kernel,
  memory: WebAssembly.Memory,
  scratch: { readonly offset: number; readonly bytes: number },
): AllReduceMemory {
  const { buffer } = memory
  return {
    floats: (first, count) => new Float32Array(buffer, first * 4, count),
    scratch: new Float32Array(buffer, scratch.offset, scratch.bytes / 4),
    add: (target, source) => kernel.add(target.byteOffset, source.byteOffset, source.length),
  }
}
