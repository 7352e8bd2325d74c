import { gunzipSync } from 'node:zlib'
import { exitCode, messageOf, RingleaderError } from '../core/errors.ts'

export interface IdxArray {
  readonly shape: number[]
  readonly data: Uint8Array
}

/** Parses an IDX file of unsigned bytes, plain or gzip. Everything about its size is checked. */
export function parseIdx(bytes: Uint8Array, name: string): IdxArray {
  const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? unpack(bytes, name) : bytes
  if (plain.byteLength < 4 || plain[0] !== 0 || plain[1] !== 0) throw corrupt(name, 'no IDX magic number at its start')
  if (plain[2] !== 0x08)
    throw corrupt(name, `element type 0x${(plain[2] ?? 0).toString(16)}; expected unsigned bytes (0x8)`)
  const dimensions = plain[3] ?? 0
  const headerBytes = 4 + 4 * dimensions
  if (dimensions < 1 || dimensions > 4 || plain.byteLength < headerBytes)
    throw corrupt(name, `${dimensions} dimensions in ${plain.byteLength} bytes`)
  const view = new DataView(plain.buffer, plain.byteOffset, plain.byteLength)
  const shape = Array.from({ length: dimensions }, (_, index) => view.getUint32(4 + 4 * index))
  const expected = headerBytes + shape.reduce((product, extent) => product * extent, 1)
  if (plain.byteLength !== expected)
    throw corrupt(name, `${plain.byteLength} bytes; its header [${shape}] needs ${expected}`)
  return { shape, data: plain.subarray(headerBytes) }
}

function unpack(bytes: Uint8Array, name: string): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: 2 ** 31 })
  } catch (error) {
    throw corrupt(name, `gzip: ${messageOf(error)}`)
  }
}

export function corrupt(name: string, what: string): RingleaderError {
  return new RingleaderError('dataset-corrupt', `${name}: ${what}; fetch the file again`, { exit: exitCode.config })
}
