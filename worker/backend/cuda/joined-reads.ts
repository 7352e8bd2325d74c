import { assert } from '../../../shared/core/errors.ts'
import type { Attribute, Eager, Handle } from '../native/eager.ts'
import type { LoadedBinding } from '../native/load-native-binding.ts'

interface Read {
  /** Without its shape; it shares the memory of what is read. */
  readonly flat: Handle
  readonly into: Float32Array
  readonly done: () => void
}

/** Tensors of a device, joined there and read at once: a read of each would wait for the device as often as there are parameters. */
export class JoinedReads {
  readonly #eager: Eager
  readonly #binding: LoadedBinding
  #reads: Read[] = []

  constructor(eager: Eager, binding: LoadedBinding) {
    this.#eager = eager
    this.#binding = binding
  }

  /** The tensor may be freed afterwards; the scope has to last until the end. */
  add(tensor: Handle, into: Float32Array, done: () => void = () => {}): void {
    const flat = this.#eager.run('Reshape', [tensor.id, this.#eager.constant('int', [-1], [1])])
    this.#reads.push({ flat, into, done })
  }

  /** Writes all values to where they belong, then tells so. */
  finish(): void {
    const reads = this.#reads
    this.#reads = []
    const [only] = reads
    if (!only) return
    const joined = reads.length === 1 ? only.flat.id : this.#join(reads)
    const values = this.#binding.tensorDataSync(joined)
    if (joined !== only.flat.id) this.#binding.deleteTensor(joined)
    let at = 0
    for (const { into } of reads) {
      into.set(values.subarray(at, at + into.length))
      at += into.length
    }
    assert(at === values.length, 'what is read has the size of where it goes')
    for (const { done } of reads) done()
  }

  /** What an interrupted evaluation has left. */
  forget(): void {
    this.#reads = []
  }

  #join(reads: readonly Read[]): number {
    const { TF_ATTR_INT, TF_ATTR_TYPE, TF_FLOAT } = this.#binding
    const attributes: readonly Attribute[] = [
      { name: 'N', type: TF_ATTR_INT, value: reads.length },
      { name: 'T', type: TF_ATTR_TYPE, value: TF_FLOAT },
      { name: 'Tidx', type: TF_ATTR_TYPE, value: this.#binding.TF_INT32 },
    ]
    const inputs = [...reads.map(({ flat }) => flat.id), this.#eager.constant('int', [0], [])]
    const [joined] = this.#binding.executeOp('ConcatV2', attributes, inputs, 1)
    assert(joined, 'ConcatV2 has an output')
    return joined.id
  }
}
