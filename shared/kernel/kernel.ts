import { existsSync, readFileSync } from 'node:fs'
import { assert } from '../core/errors.ts'
import { type RandomKey, seedWords } from '../core/random.ts'

/** Bytes from weights and moments to where the new ones go; left out: in their place. */
type Destination = number

export interface AdamArguments {
  weights: number
  gradient: number
  m: number
  v: number
  count: number
  rate: number
  beta1: number
  beta2: number
  epsilon: number
  /** Number of this update, from 1. */
  step: number
  to?: Destination
}

export interface RmspropArguments {
  weights: number
  gradient: number
  v: number
  count: number
  rate: number
  alpha: number
  epsilon: number
  to?: Destination
}

export interface SgdArguments {
  weights: number
  gradient: number
  momentumBuffer: number
  count: number
  rate: number
  momentum: number
  to?: Destination
}

/** Kernels over a shared wasm memory; places are byte offsets, counts are float32 elements. */
export interface Kernel {
  add(target: number, source: number, count: number): void
  /** x · factor, in place. */
  scale(target: number, count: number, factor: number): void
  /** Into [−bound, bound], in place; NaN stays. */
  clamp(target: number, count: number, bound: number): void
  /** 0 where the source is 0; what else the target has stays, NaN too. */
  mask(target: number, source: number, count: number): void
  /** target + (1 − decay) (source − target): one step of an exponential moving average. */
  average(target: number, source: number, count: number, decay: number): void
  /**
   * One power iteration on a matrix [rows, columns]: left ← W right / |W right|, right ← Wᵀ left / |Wᵀ left| (Miyato et al. 2018,
   * algorithm 1). Then leftᵀ W right is near its largest singular value.
   */
  powerIteration(matrix: number, rows: number, columns: number, left: number, right: number): void
  sumSquares(source: number, count: number): number
  /** Bytes at `source` to floats at `target`: x · factor + shift. */
  scaleBytes(target: number, source: number, count: number, factor: number, shift: number): void
  adam(update: AdamArguments): void
  rmsprop(update: RmspropArguments): void
  sgd(update: SgdArguments): void
  philoxU32(target: number, count: number, key: RandomKey): void
  philoxUniform(target: number, count: number, key: RandomKey): void
  philoxNormal(target: number, count: number, key: RandomKey): void
  /** Runs the encoder or decoder of that name (assembly/compression.ts, assembly/top-k.ts). */
  code(name: CodeKernel, ...values: number[]): void
}

export type CodeKernel = `${'encode' | 'decode'}${'Bf16' | 'Fp16' | 'Int8' | 'TopK'}`

type Exports = Record<string, (...values: number[]) => number>

let compiled: WebAssembly.Module | null = null

export function loadKernel(memory: WebAssembly.Memory): Kernel {
  compiled ??= new WebAssembly.Module(readFileSync(kernelFile()))
  const exports = new WebAssembly.Instance(compiled, { env: { memory, abort: stop } }).exports as unknown as Exports
  const call = (name: string, ...values: number[]): number => {
    const run = exports[name]
    assert(run, `kernel ${name} exists`)
    return run(...values)
  }
  const draw = (name: string) => (target: number, count: number, key: RandomKey) => {
    call(name, target, count, ...seedWords(key.seed), key.stream, key.step, key.lane)
  }
  return {
    add: (target, source, count) => void call('add', target, source, count),
    scale: (...values) => void call('scale', ...values),
    clamp: (...values) => void call('clamp', ...values),
    mask: (...values) => void call('mask', ...values),
    average: (...values) => void call('average', ...values),
    powerIteration: (...values) => void call('powerIteration', ...values),
    sumSquares: (source, count) => call('sumSquares', source, count),
    scaleBytes: (...values) => void call('scaleBytes', ...values),
    adam(u) {
      const stepSize = u.rate / (1 - u.beta1 ** u.step)
      const inverseRoot = 1 / Math.sqrt(1 - u.beta2 ** u.step)
      call(
        'adam',
        u.weights,
        u.gradient,
        u.m,
        u.v,
        u.count,
        stepSize,
        inverseRoot,
        u.beta1,
        u.beta2,
        u.epsilon,
        u.to ?? 0,
      )
    },
    rmsprop: (u) => void call('rmsprop', u.weights, u.gradient, u.v, u.count, u.rate, u.alpha, u.epsilon, u.to ?? 0),
    sgd: (u) => void call('sgd', u.weights, u.gradient, u.momentumBuffer, u.count, u.rate, u.momentum, u.to ?? 0),
    philoxU32: draw('philoxU32'),
    philoxUniform: draw('philoxUniform'),
    philoxNormal: draw('philoxNormal'),
    code: (name, ...values) => void call(name, ...values),
  }
}

/** Beside this file once compiled; in dist when the sources run as they are (tests). */
function kernelFile(): URL {
  const beside = new URL('./kernel.wasm', import.meta.url)
  return existsSync(beside) ? beside : new URL('../../dist/shared/kernel/kernel.wasm', import.meta.url)
}

function stop(): void {
  throw new Error('invariant broken: a kernel aborted')
}

const pageBytes = 65_536
const minimumPages = 16 // what the kernel's module imports
const maximumPages = 65_536 // the whole of a 32-bit memory; what is not used is not resident

export function createSharedMemory(bytes: number): WebAssembly.Memory {
  const initial = Math.max(minimumPages, Math.ceil(bytes / pageBytes) + 2)
  return new WebAssembly.Memory({ initial, maximum: maximumPages, shared: true })
}

/** Hands out 64-byte aligned regions of a memory, for good; the memory grows where it has to. */
export class Arena {
  readonly #memory: WebAssembly.Memory
  #next = pageBytes // AssemblyScript keeps its tables in the first page

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory
  }

  /** Byte offset of the region. */
  allocate(bytes: number): number {
    const offset = this.#next
    this.#next = Math.ceil((offset + bytes) / 64) * 64
    const missing = this.#next - this.#memory.buffer.byteLength
    if (missing > 0) this.#memory.grow(Math.ceil(missing / pageBytes)) // views that are there stay as they are
    return offset
  }

  /** The next region begins there: in one that another thread has handed to this one. */
  goOnAt(offset: number): void {
    this.#next = offset
  }

  floats(offset: number, count: number): Float32Array {
    return new Float32Array(this.#memory.buffer, offset, count)
  }
}
