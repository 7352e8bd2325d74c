import { usage } from './errors.ts'

/** NumPy's .npy format 1.0, float32, C order. */
export function encodeNpy(shape: readonly number[], data: Float32Array): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`
  const headerBytes = Math.ceil((10 + text.length + 1) / 64) * 64 - 10
  const bytes = Buffer.alloc(10 + headerBytes + data.byteLength, ' ')
  bytes.write(magic, 0, 'latin1')
  bytes.set([1, 0], 6)
  bytes.writeUInt16LE(headerBytes, 8)
  bytes.write(text, 10, 'latin1')
  bytes[10 + headerBytes - 1] = 0x0a
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + headerBytes)
  return bytes
}

const magic = '\x93NUMPY'

export interface NpyArray {
  readonly shape: readonly number[]
  /** Of bytes the numbers 0…255. */
  readonly values: Float32Array
  readonly type: 'float32' | 'uint8'
}

/** An array of float32 or uint8 in C order, from format 1.0 to 3.0. Errors say what to write instead; `name`: of the file, for them. */
export function decodeNpy(bytes: Uint8Array, name: string): NpyArray {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.length < 12 || view.toString('latin1', 0, 6) !== magic)
    throw usage(`${name} is no NumPy array; write one with numpy.save`)
  const [start, length] = view[6] === 1 ? [10, view.readUInt16LE(8)] : [12, view.readUInt32LE(8)]
  const header = view.toString('latin1', start, start + length)
  const [, descr] = /'descr':\s*'([^']*)'/.exec(header) ?? []
  const [, tuple] = /'shape':\s*\(([\d,\s]*)\)/.exec(header) ?? []
  const type = descr === '<f4' ? 'float32' : descr === '|u1' ? 'uint8' : null
  if (type === null || tuple === undefined || !/'fortran_order':\s*False/.test(header))
    throw usage(`${name} has ${descr ?? 'an unknown type'}; write float32 or uint8 in C order`)
  const shape = tuple
    .split(',')
    .filter((extent) => extent.trim() !== '')
    .map(Number)
  const count = shape.reduce((product, extent) => product * extent, 1)
  const data = view.subarray(start + length)
  const size = type === 'float32' ? 4 : 1
  if (data.length !== count * size)
    throw usage(
      `${name} has ${data.length} bytes for an array of [${shape.join(', ')}]; it was cut off, so write it again`,
    )
  const values = type === 'uint8' ? Float32Array.from(data) : new Float32Array(Uint8Array.from(data).buffer, 0, count)
  return { shape, values, type }
}
