import { usage } from '../core/errors.ts'

/** Mono sound, −1…1. */
export interface Sound {
  /** Samples a second. */
  readonly rate: number
  readonly samples: Float32Array
}

const rates = { least: 1000, most: 384_000 }
const maxChannels = 64
const tags = { pcm: 1, float: 3, extensible: 0xfffe }

/**
 * A WAV file (RIFF; Microsoft's Multimedia Programming Interface 1.0, 1991): PCM of 8, 16, 24 or 32 bits or floats of 32 or 64, its
 * channels mixed down to their mean. Errors name the file and what is wrong with it.
 */
export function decodeWav(bytes: Uint8Array, name: string): Sound {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength < 12 || text(bytes, 0) !== 'RIFF' || text(bytes, 8) !== 'WAVE')
    throw unreadable(name, 'it is no WAV file')
  let format: Format | null = null
  for (let at = 12; at + 8 <= bytes.byteLength; ) {
    const [id, size] = [text(bytes, at), view.getUint32(at + 4, true)]
    const [start, room] = [at + 8, bytes.byteLength - at - 8]
    const open = id === 'data' && size === 0xffff_ffff // a stream, whose length was not known at its start
    if (size > room && !open) throw unreadable(name, 'it is cut off')
    if (id === 'fmt ') format = formatOf(view, start, size, name)
    if (id === 'data') {
      if (!format) throw unreadable(name, 'no format stands in front of its data')
      return { rate: format.rate, samples: mixed(view, start, open ? room : size, format, name) }
    }
    at = start + size + (size % 2)
  }
  throw unreadable(name, 'there is no sound in it')
}

interface Format {
  readonly float: boolean
  readonly channels: number
  readonly rate: number
  readonly bits: number
}

function formatOf(view: DataView, start: number, size: number, name: string): Format {
  if (size < 16) throw unreadable(name, 'it is cut off')
  let tag = view.getUint16(start, true)
  if (tag === tags.extensible && size >= 26) tag = view.getUint16(start + 24, true)
  const channels = view.getUint16(start + 2, true)
  const rate = view.getUint32(start + 4, true)
  const bits = view.getUint16(start + 14, true)
  const known = (tag === tags.pcm && [8, 16, 24, 32].includes(bits)) || (tag === tags.float && [32, 64].includes(bits))
  if (!known)
    throw unreadable(
      name,
      `format ${tag} with ${bits} bits; PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64, can be`,
    )
  if (channels < 1 || channels > maxChannels) throw unreadable(name, `${channels} channels`)
  if (rate < rates.least || rate > rates.most) throw unreadable(name, `${rate} samples a second`)
  return { float: tag === tags.float, channels, rate, bits }
}

function mixed(view: DataView, start: number, size: number, format: Format, name: string): Float32Array {
  const { channels, bits } = format
  const bytes = bits / 8
  const read = readerOf(view, format)
  const samples = new Float32Array(Math.floor(size / (bytes * channels)))
  for (let frame = 0, at = start; frame < samples.length; frame++) {
    let sum = 0
    for (let channel = 0; channel < channels; channel++, at += bytes) sum += read(at)
    if (!Number.isFinite(sum)) throw unreadable(name, `sample ${frame} is no number`)
    samples[frame] = sum / channels
  }
  return samples
}

function readerOf(view: DataView, { float, bits }: Format): (at: number) => number {
  if (float) return bits === 32 ? (at) => view.getFloat32(at, true) : (at) => view.getFloat64(at, true)
  switch (bits) {
    case 8:
      return (at) => (view.getUint8(at) - 128) / 2 ** 7
    case 16:
      return (at) => view.getInt16(at, true) / 2 ** 15
    case 24:
      return (at) => (view.getUint16(at, true) + 2 ** 16 * view.getInt8(at + 2)) / 2 ** 23
    default:
      return (at) => view.getInt32(at, true) / 2 ** 31
  }
}

/** A WAV file of 16 bits; what is beyond −1…1 is cut. */
export function encodeWav({ rate, samples }: Sound): Uint8Array {
  const bytes = Buffer.alloc(44 + 2 * samples.length)
  bytes.write('RIFF', 0, 'latin1')
  bytes.writeUInt32LE(bytes.length - 8, 4)
  bytes.write('WAVEfmt ', 8, 'latin1')
  bytes.writeUInt32LE(16, 16)
  bytes.writeUInt16LE(tags.pcm, 20)
  bytes.writeUInt16LE(1, 22)
  bytes.writeUInt32LE(rate, 24)
  bytes.writeUInt32LE(2 * rate, 28)
  bytes.writeUInt16LE(2, 32)
  bytes.writeUInt16LE(16, 34)
  bytes.write('data', 36, 'latin1')
  bytes.writeUInt32LE(2 * samples.length, 40)
  for (const [at, value] of samples.entries())
    bytes.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(value * 32768))), 44 + 2 * at)
  return bytes
}

function text(bytes: Uint8Array, at: number): string {
  return Buffer.from(bytes.subarray(at, at + 4)).toString('latin1')
}

function unreadable(name: string, reason: string) {
  return usage(`${name} cannot be read as sound (${reason}); mend it or take it out of the folder`)
}
