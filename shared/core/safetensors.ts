import { RingleaderError } from './errors.ts'

/** The safetensors format: 8-byte little-endian header length, JSON header, data. float32 only. */
export interface NamedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}

const maxHeaderBytes = 100 << 20 // as the reference implementation

/** Tensors in the order given, packed without gaps; the data starts at a multiple of 8. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  let offset = 0
  const entries = tensors.map((tensor) => {
    const start = offset
    offset += tensor.data.byteLength
    return [tensor.name, { dtype: 'F32', shape: tensor.shape, data_offsets: [start, offset] }]
  })
  const header = Object.fromEntries([...(metadata ? [['__metadata__', metadata]] : []), ...entries])
  const text = Buffer.from(JSON.stringify(header))
  const headerBytes = Math.ceil(text.byteLength / 8) * 8
  const bytes = new Uint8Array(8 + headerBytes + offset)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerBytes), true)
  bytes.fill(0x20, 8, 8 + headerBytes)
  bytes.set(text, 8)
  let position = 8 + headerBytes
  for (const { data } of tensors) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), position)
    position += data.byteLength
  }
  return bytes
}

export interface DecodedTensors {
  readonly tensors: Map<string, { shape: number[]; data: Float32Array }>
  readonly metadata: Record<string, string>
}

export function decodeSafetensors(bytes: Uint8Array): DecodedTensors {
  if (bytes.byteLength < 8) throw corrupt(`${bytes.byteLength} bytes`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerBytes = Number(view.getBigUint64(0, true))
  if (headerBytes > maxHeaderBytes || 8 + headerBytes > bytes.byteLength)
    throw corrupt(`a header of ${headerBytes} bytes in ${bytes.byteLength}`)
  const header = parseHeader(bytes.subarray(8, 8 + headerBytes))
  const data = bytes.subarray(8 + headerBytes)
  const tensors: DecodedTensors['tensors'] = new Map()
  let used = 0
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const {
      dtype,
      shape,
      data_offsets: offsets,
    } = (entry ?? {}) as { dtype?: unknown; shape?: unknown; data_offsets?: unknown }
    if (dtype !== 'F32' || !naturals(shape) || !naturals(offsets)) throw corrupt(`tensor ${name} is no float32 tensor`)
    const [start = 0, end = 0] = offsets
    if (end > data.byteLength || end - start !== 4 * shape.reduce((product, extent) => product * extent, 1))
      throw corrupt(`tensor ${name} lies at ${start}…${end} of ${data.byteLength} bytes`)
    used += end - start
    tensors.set(name, { shape, data: new Float32Array(Uint8Array.from(data.subarray(start, end)).buffer) })
  }
  if (used !== data.byteLength) throw corrupt(`${data.byteLength} data bytes for ${used} of tensors`)
  return { tensors, metadata: (header.__metadata__ ?? {}) as Record<string, string> }
}

function parseHeader(bytes: Uint8Array): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    if (typeof header === 'object' && header !== null && !Array.isArray(header))
      return header as Record<string, unknown>
  } catch (error) {
    throw corrupt(`no JSON header (${String(error)})`)
  }
  throw corrupt('no JSON object as header')
}

function naturals(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)
}

function corrupt(what: string): RingleaderError {
  return new RingleaderError('checkpoint-corrupt', `not a whole safetensors file: ${what}`)
}
