import { assert } from '../../../shared/core/errors.ts'
import type { FileMapping } from '../../../shared/transport/file-windows.ts'

/** The part of tfjs-node's addon that is used here. */
export interface Binding extends FileMapping {
  readonly TF_FLOAT: number
  readonly TF_INT32: number
  readonly TF_ATTR_TYPE: number
  readonly TF_ATTR_INT: number
  readonly TF_ATTR_BOOL: number
  readonly TF_ATTR_STRING: number
  createTensor(shape: readonly number[], type: number, values: Float32Array | Int32Array): number
  deleteTensor(id: number): void
  tensorDataSync(id: number): Float32Array
  getNumOfTensors(): number
  /** A number for `runOp` (binding.cc). */
  defineOp(name: string, attributes: readonly Attribute[]): number
  /** Where `runOp` leaves its output's rank and extents; [9]. */
  useShape(shape: Int32Array): void
  /** Copies a tensor of float32 to a place of its size, or adds it to what is there. */
  copyTo(id: number, into: Float32Array): void
  addTo(id: number, into: Float32Array): void
  /** The id of the one output. */
  runOp(operation: number, ...inputs: readonly number[]): number
}

export interface Attribute {
  readonly name: string
  readonly type: number
  readonly value: number | boolean | string | readonly number[] | readonly string[]
}

/** A tensor of the native library. */
export interface Handle {
  readonly id: number
  readonly shape: readonly number[]
  /** Where it was made of values from outside. */
  readonly values?: Float32Array
}

/** TF_BFLOAT16 of tf_datatype.h, which the addon has no name for. */
export const bfloat16 = 14

const maxConstants = 512

const noAttributes: readonly Attribute[] = []
/** Of the output that a thread computed last: an addon has one such place for each. */
const outputShape = new Int32Array(9)

/**
 * TensorFlow's own operations by name, straight through the addon: tfjs's engine costs more for a small operation than the
 * operation itself. Types of inputs and defaults of attributes are filled in by TensorFlow.
 */
export class Eager {
  readonly binding: Binding
  readonly #constants = new Map<string, number>()
  /** Numbers of operations, by name and by the very attributes that they were defined with. */
  readonly #operations = new Map<string, WeakMap<readonly Attribute[], number>>()
  /** What belongs to the evaluation under way. */
  #scope: Set<number> | null = null

  constructor(binding: Binding) {
    this.binding = binding
    binding.useShape(outputShape)
  }

  /** `attributes`: the same array for each call of a kind, since an operation is defined once for each. */
  run(name: string, inputs: readonly number[], attributes = noAttributes): Handle {
    const id = this.binding.runOp(this.#operation(name, attributes), ...inputs)
    const shape: number[] = []
    for (let axis = 1; axis <= (outputShape[0] ?? 0); axis++) shape.push(outputShape[axis] ?? 0)
    this.#scope?.add(id)
    return { id, shape }
  }

  #operation(name: string, attributes: readonly Attribute[]): number {
    let known = this.#operations.get(name)
    if (!known) {
      known = new WeakMap()
      this.#operations.set(name, known)
    }
    let operation = known.get(attributes)
    if (operation === undefined) {
      operation = this.binding.defineOp(name, attributes)
      known.set(attributes, operation)
    }
    return operation
  }

  float(values: Float32Array, shape: readonly number[]): Handle {
    const id = this.binding.createTensor(shape, this.binding.TF_FLOAT, values)
    this.#scope?.add(id)
    return { id, shape, values }
  }

  /** A small tensor that is used again and again; it belongs to nobody. */
  constant(kind: 'float' | 'int', values: readonly number[], shape: readonly number[]): number {
    const key = `${kind}:${shape.join(',')}:${values.join(',')}`
    const known = this.#constants.get(key)
    if (known !== undefined) return known
    const { binding } = this
    const id =
      kind === 'int'
        ? binding.createTensor(shape, binding.TF_INT32, Int32Array.from(values))
        : binding.createTensor(shape, binding.TF_FLOAT, Float32Array.from(values))
    this.#constants.set(key, id)
    return id
  }

  read(handle: Handle): Float32Array {
    return this.binding.tensorDataSync(handle.id)
  }

  copy({ id }: Handle, into: Float32Array): void {
    this.binding.copyTo(id, into)
  }

  /** into += the tensor. */
  add({ id }: Handle, into: Float32Array): void {
    this.binding.addTo(id, into)
  }

  /** Frees whatever `work` makes and does not return in `keeps`. */
  scope<R>(work: () => R, keeps: (result: R) => readonly Handle[]): R {
    assert(this.#scope === null, 'scopes do not nest')
    if (this.#constants.size > maxConstants) this.#forgetConstants() // not within one: an operation may wait for it
    const scope = new Set<number>()
    this.#scope = scope
    try {
      const result = work()
      for (const { id } of keeps(result)) scope.delete(id)
      return result
    } finally {
      this.#scope = null
      for (const id of scope) this.binding.deleteTensor(id)
    }
  }

  /** Frees one tensor of the scope now; one that is not of the scope is somebody else's. */
  free({ id }: Handle): void {
    if (this.#scope?.delete(id)) this.binding.deleteTensor(id)
  }

  /** Frees a tensor that a scope has returned. */
  release({ id }: Handle): void {
    this.binding.deleteTensor(id)
  }

  /** Tensors that are held, without the constants. */
  get count(): number {
    return this.binding.getNumOfTensors() - this.#constants.size
  }

  #forgetConstants(): void {
    for (const id of this.#constants.values()) this.binding.deleteTensor(id)
    this.#constants.clear()
  }
}
