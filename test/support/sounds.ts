/** A sine of `hertz`, −1…1 times `level`. */
export function sine(count: number, hertz: number, rate: number, level = 1): Float32Array {
  return Float32Array.from({ length: count }, (_, at) => level * Math.sin((2 * Math.PI * hertz * at) / rate))
}

/** A sine whose frequency rises evenly. */
export function chirp(count: number, from: number, to: number, rate: number): Float32Array {
  return Float32Array.from({ length: count }, (_, at) => {
    const seconds = at / rate
    const slope = ((to - from) * rate) / count
    return 0.8 * Math.sin(2 * Math.PI * (from * seconds + (slope * seconds * seconds) / 2))
  })
}

/** A WAV file as other programs write it; 16 bits where nothing else is said. */
export function wav(
  channels: readonly Float32Array[],
  rate: number,
  { format = 1, bits = 16, extensible = false }: { format?: number; bits?: number; extensible?: boolean },
): Buffer {
  const frames = channels[0]?.length ?? 0
  const width = bits / 8
  const data = Buffer.alloc(frames * channels.length * width)
  for (const [channel, values] of channels.entries())
    for (const [frame, value] of values.entries()) {
      const at = (frame * channels.length + channel) * width
      const whole = Math.min(2 ** (bits - 1) - 1, Math.round(value * 2 ** (bits - 1)))
      if (format === 3 && bits === 32) data.writeFloatLE(value, at)
      else if (format === 3) data.writeDoubleLE(value, at)
      else if (bits === 8) data.writeUInt8(whole + 128, at)
      else data.writeIntLE(whole, at, width)
    }
  const fmt = Buffer.alloc(extensible ? 40 : 16)
  fmt.writeUInt16LE(extensible ? 0xfffe : format, 0)
  fmt.writeUInt16LE(channels.length, 2)
  fmt.writeUInt32LE(rate, 4)
  fmt.writeUInt32LE(rate * width * channels.length, 8)
  fmt.writeUInt16LE(width * channels.length, 12)
  fmt.writeUInt16LE(bits, 14)
  if (extensible) fmt.writeUInt16LE(format, 24)
  const chunk = (id: string, bytes: Buffer) => {
    const size = Buffer.alloc(4)
    size.writeUInt32LE(bytes.length)
    return Buffer.concat([Buffer.from(id), size, bytes, Buffer.alloc(bytes.length % 2)])
  }
  const list = extensible ? [chunk('LIST', Buffer.from('odd'))] : [] // other programs put their name here
  const body = Buffer.concat([Buffer.from('WAVE'), chunk('fmt ', fmt), ...list, chunk('data', data)])
  const riff = chunk('RIFF', body)
  return riff
}
