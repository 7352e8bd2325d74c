import type { Histogram } from './histogram.ts'

/** One value of a summary, under its name. */
export type SummaryValue = { readonly tag: string } & (
  | { readonly scalar: number }
  | { readonly png: Uint8Array }
  | { readonly histogram: Histogram }
)

export interface EventMessage {
  /** Seconds since 1970. */
  readonly time: number
  readonly step: number
  readonly version?: string
  readonly values?: readonly SummaryValue[]
}

const wire = { varint: 0, double: 1, bytes: 2, float: 5 } as const

/**
 * TensorFlow's `Event` as a protobuf message: wall_time = 1, step = 2, file_version = 3, summary = 5. Source: TensorFlow,
 * core/util/event.proto and core/framework/summary.proto.
 */
export function encodeEvent({ time, step, version, values }: EventMessage): Uint8Array {
  const parts = [double(1, time), key(2, wire.varint), varint(step)]
  if (version !== undefined) parts.push(bytes(3, Buffer.from(version)))
  if (values) parts.push(bytes(5, Buffer.concat(values.map((value) => bytes(1, encodeValue(value))))))
  return Buffer.concat(parts)
}

/** `Summary.Value`: tag = 1, simple_value = 2, image = 4, histo = 5. */
function encodeValue(value: SummaryValue): Buffer {
  const tag = bytes(1, Buffer.from(value.tag))
  if ('scalar' in value) {
    const number = Buffer.alloc(4)
    number.writeFloatLE(value.scalar)
    return Buffer.concat([tag, key(2, wire.float), number])
  }
  return Buffer.concat([
    tag,
    'png' in value ? bytes(4, encodeImage(value.png)) : bytes(5, encodeHisto(value.histogram)),
  ])
}

/** `Summary.Image`: height = 1, width = 2, colorspace = 3 (3: RGB), encoded_image_string = 4. A PNG's size is in its first chunk. */
function encodeImage(png: Uint8Array): Buffer {
  const header = Buffer.from(png.buffer, png.byteOffset, 24)
  const [width, height] = [header.readUInt32BE(16), header.readUInt32BE(20)]
  const sizes = [height, width, 3].flatMap((value, index) => [key(index + 1, wire.varint), varint(value)])
  return Buffer.concat([...sizes, bytes(4, png)])
}

/** `HistogramProto`: min, max, num, sum, sum_squares = 1 … 5, bucket_limit = 6, bucket = 7. */
function encodeHisto({ min, max, count, sum, squares, limits, counts }: Histogram): Buffer {
  const heads = [min, max, count, sum, squares].map((value, index) => double(index + 1, value))
  return Buffer.concat([...heads, bytes(6, doubles(limits)), bytes(7, doubles(counts))])
}

function key(field: number, type: number): Buffer {
  return varint(field * 8 + type)
}

function varint(value: number): Buffer {
  const digits: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) digits.push((rest % 128) + 128)
  return Buffer.from([...digits, rest])
}

function double(field: number, value: number): Buffer {
  return Buffer.concat([key(field, wire.double), doubles([value])])
}

function doubles(values: readonly number[]): Buffer {
  const encoded = Buffer.alloc(8 * values.length)
  for (const [index, value] of values.entries()) encoded.writeDoubleLE(value, 8 * index)
  return encoded
}

function bytes(field: number, content: Uint8Array): Buffer {
  return Buffer.concat([key(field, wire.bytes), varint(content.byteLength), content])
}
