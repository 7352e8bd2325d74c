/** NumPy's .npy format 1.0, float32, C order. */
export function encodeNpy(shape: readonly number[], data: Float32Array): Uint8Array {
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`
  const headerBytes = Math.ceil((10 + text.length + 1) / 64) * 64 - 10
  const bytes = Buffer.alloc(10 + headerBytes + data.byteLength, ' ')
  bytes.write('\x93NUMPY', 0, 'latin1')
  bytes.set([1, 0], 6)
  bytes.writeUInt16LE(headerBytes, 8)
  bytes.write(text, 10, 'latin1')
  bytes[10 + headerBytes - 1] = 0x0a
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + headerBytes)
  return bytes
}
