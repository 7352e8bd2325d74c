/** CRC-32C (Castagnoli), reflected polynomial; RFC 3720, B.4. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc >>> 0
})

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8)
  return (crc ^ 0xffffffff) >>> 0
}

/** So that the checksum of data that hold checksums is no weak one. Source: TensorFlow, core/lib/hash/crc32c.h. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** One record: length (uint64), its checksum, data, their checksum; little-endian. Source: TensorFlow, core/lib/io/record_writer.h. */
export function frameRecord(data: Uint8Array): Uint8Array {
  const record = Buffer.alloc(data.byteLength + 16)
  record.writeBigUInt64LE(BigInt(data.byteLength), 0)
  record.writeUInt32LE(masked(record.subarray(0, 8)), 8)
  record.set(data, 12)
  record.writeUInt32LE(masked(data), 12 + data.byteLength)
  return record
}

export interface TfRecord {
  readonly data: Uint8Array
  /** With its frame. */
  readonly whole: Uint8Array
}

/** Records up to the first that is damaged or cut off. */
export function recordsOf(bytes: Buffer): TfRecord[] {
  const records: TfRecord[] = []
  for (let at = 0; at + 16 <= bytes.byteLength; ) {
    const length = Number(bytes.readBigUInt64LE(at))
    const end = at + 16 + length
    if (end > bytes.byteLength || bytes.readUInt32LE(at + 8) !== masked(bytes.subarray(at, at + 8))) break
    const data = bytes.subarray(at + 12, end - 4)
    if (bytes.readUInt32LE(end - 4) !== masked(data)) break
    records.push({ data, whole: bytes.subarray(at, end) })
    at = end
  }
  return records
}
