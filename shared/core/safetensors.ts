import { RingleaderError } from './errors.ts'

/** The safetensors format: 8-byte little-endian header length, JSON header, data: float32, or bfloat16, which is read as float32. */
export interface NamedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
}

const maxHeaderBytes = 100 << 20 // as the reference implementation

const dtypes = { F32: 4, BF16: 2 } as const
type Dtype = keyof typeof dtypes

/** Tensors in the order given, packed without gaps; the data starts at a multiple of 8. BF16 rounds to the nearest, ties to even. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata?: Readonly<Record<string, string>>,
  dtype: Dtype = 'F32',
): Uint8Array {
  let offset = 0
  const entries = tensors.map((tensor) => {
    const start = offset
    offset += tensor.data.length * dtypes[dtype]
    return [tensor.name, { dtype, shape: tensor.shape, data_offsets: [start, offset] }]
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
    const stored = dtype === 'F32' ? data : bfloat16(data)
    bytes.set(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength), position)
    position += stored.byteLength
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
    if ((dtype !== 'F32' && dtype !== 'BF16') || !naturals(shape) || !naturals(offsets))
      throw corrupt(`tensor ${name} is no float32 or bfloat16 tensor`)
    const [start = 0, end = 0] = offsets
    if (end > data.byteLength || end - start !== dtypes[dtype] * shape.reduce((product, extent) => product * extent, 1))
      throw corrupt(`tensor ${name} lies at ${start}…${end} of ${data.byteLength} bytes`)
    used += end - start
    const values = Uint8Array.from(data.subarray(start, end)).buffer
    tensors.set(name, { shape, data: dtype === 'F32' ? new Float32Array(values) : float32(new Uint16Array(values)) })
  }
  if (used !== data.byteLength) throw corrupt(`${data.byteLength} data bytes for ${used} of tensors`)
  return { tensors, metadata: (header.__metadata__ ?? {}) as Record<string, string> }
}

/** The upper halves of the bits, rounded; what is no number stays none. */
function bfloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const halves = new Uint16Array(words.length)
  for (const [at, word] of words.entries())
    halves[at] = Number.isNaN(values[at]) ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
  return halves
}

function float32(halves: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(halves, (half) => half * 0x1_0000).buffer)
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
