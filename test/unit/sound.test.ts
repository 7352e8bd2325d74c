import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../shared/core/config.ts'
import { openDataset } from '../../shared/dataset/open-dataset.ts'
import { FourierTransform } from '../../shared/sound/fourier.ts'
import { resampled } from '../../shared/sound/resample-sound.ts'
import { Spectrograms, soundRate } from '../../shared/sound/spectrogram.ts'
import { ShortTimeFourier } from '../../shared/sound/spectrum.ts'
import { decodeWav, encodeWav } from '../../shared/sound/wav.ts'
import { temporaryFolder } from '../support/folder.ts'
import { chirp, sine, wav } from '../support/sounds.ts'

const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
const difference = (a: Float32Array, b: Float32Array) => largest(a.map((value, at) => value - (b[at] ?? 0)))

describe('WAV files', () => {
  const tone = sine(1000, 440, soundRate, 0.5)

  it.each([
    [1, 8, 2 ** -7],
    [1, 16, 2 ** -15],
    [1, 24, 2 ** -23],
    [1, 32, 1e-7],
    [3, 32, 1e-7],
    [3, 64, 1e-7],
  ])('of format %i with %i bits are read, plain and extensible', (format, bits, step) => {
    for (const extensible of [false, true]) {
      const { rate, samples } = decodeWav(wav([tone], soundRate, { format, bits, extensible }), 'f')
      expect(rate).toBe(soundRate)
      expect(samples).toHaveLength(1000)
      expect(difference(samples, tone)).toBeLessThan(1.01 * step)
    }
  })

  it('are mixed down, and what we write is read again', () => {
    const silence = new Float32Array(1000)
    const mixed = decodeWav(wav([tone, silence], 44_100, { format: 3, bits: 32 }), 'f')
    expect(mixed.rate).toBe(44_100)
    expect(
      difference(
        mixed.samples,
        tone.map((value) => value / 2),
      ),
    ).toBeLessThan(1e-7)
    const { rate, samples } = decodeWav(encodeWav({ rate: soundRate, samples: tone }), 'f')
    expect([rate, samples.length]).toEqual([soundRate, 1000])
    expect(difference(samples, tone)).toBeLessThan(2 ** -15)
    expect(largest(decodeWav(encodeWav({ rate: 8000, samples: Float32Array.of(7, -7) }), 'f').samples)).toBe(1)
  })

  const whole = wav([tone], soundRate, {})
  const withField = (at: number, value: number) => {
    const bytes = Buffer.from(whole)
    bytes.writeUInt16LE(value, at)
    return bytes
  }
  it.each([
    ['empty', Buffer.alloc(0), /it is no WAV file/],
    ['text', Buffer.from('hello there, friends'), /it is no WAV file/],
    ['cut off', whole.subarray(0, 500), /it is cut off/],
    ['only a header', whole.subarray(0, 36), /there is no sound in it/],
    ['without a format', Buffer.concat([whole.subarray(0, 12), whole.subarray(36)]), /no format stands in front/],
    ['packed', withField(20, 85), /format 85 with 16 bits; PCM of 8, 16, 24 or 32 bits/],
    ['of 12 bits', withField(34, 12), /format 1 with 12 bits/],
    ['without channels', withField(22, 0), /0 channels/],
    ['too slow', withField(24, 10), /10 samples a second/],
    [
      'not a number',
      wav([Float32Array.of(0, Number.NaN)], soundRate, { format: 3, bits: 32 }),
      /sample 1 is no number/,
    ],
  ])('that are %s are refused by name', (_name, bytes, message) => {
    expect(() => decodeWav(bytes, 'folder/f.wav')).toThrow(message)
    expect(() => decodeWav(bytes, 'folder/f.wav')).toThrow(/^folder\/f.wav cannot be read as sound .*take it out of/)
  })
})

describe('another rate', () => {
  it.each([44_100, 48_000, 22_050, 11_025, 4000])('keeps a sine, from %i samples a second', (rate) => {
    const { samples } = resampled({ rate, samples: sine(rate, 440, rate) }, soundRate)
    expect(samples).toHaveLength(soundRate)
    const inside = (values: Float32Array) => values.subarray(200, -200)
    expect(difference(inside(samples), inside(sine(soundRate, 440, soundRate)))).toBeLessThan(0.005)
  })

  it('leaves out what is above the new band, and the same rate as it is', () => {
    const high = resampled({ rate: 44_100, samples: sine(44_100, 6000, 44_100) }, soundRate).samples
    expect(largest(high.subarray(200, -200))).toBeLessThan(0.003) // a sine at 2 kHz, were it only thinned out
    const same = sine(100, 440, soundRate)
    expect(resampled({ rate: soundRate, samples: same }, soundRate).samples).toBe(same)
  })
})

describe('the Fourier transform', () => {
  it.each([2, 8, 64])('is the sum that defines it, for %i numbers', (length) => {
    const [real, imaginary] = [1, 2].map((seed) => Float64Array.from({ length }, (_, at) => Math.sin(seed + at * at)))
    const [re, im] = [Float64Array.from(real ?? []), Float64Array.from(imaginary ?? [])]
    new FourierTransform(length).transform(re, im)
    for (let k = 0; k < length; k++) {
      const sum = [0, 0]
      for (let n = 0; n < length; n++) {
        const [cos, sin] = [Math.cos((-2 * Math.PI * k * n) / length), Math.sin((-2 * Math.PI * k * n) / length)]
        sum[0] = (sum[0] ?? 0) + (real?.[n] ?? 0) * cos - (imaginary?.[n] ?? 0) * sin
        sum[1] = (sum[1] ?? 0) + (real?.[n] ?? 0) * sin + (imaginary?.[n] ?? 0) * cos
      }
      expect(re[k]).toBeCloseTo(sum[0] ?? 0, 10)
      expect(im[k]).toBeCloseTo(sum[1] ?? 0, 10)
    }
  })
})

describe('spectrograms', () => {
  it('have a transform that is taken back exactly, and magnitudes as they should be', () => {
    const fourier = new ShortTimeFourier(32)
    const clip = chirp(fourier.clipSamples, 300, 3000, soundRate)
    expect(difference(fourier.inverse(fourier.transform(clip)), clip)).toBeLessThan(1e-5)
    const spectrum = fourier.transform(sine(fourier.clipSamples, 1000, soundRate)) // frequency 8 of 64 samples
    const at = (16 * 33 + 8) * 2
    expect(Math.hypot(spectrum[at] ?? 0, spectrum[at + 1] ?? 0)).toBeCloseTo(16, 3)
  })

  it('show a sine as a line at its height, high up what is high', () => {
    const spectrograms = new Spectrograms(64)
    const picture = spectrograms.pictureOf(sine(spectrograms.clipSamples, 1000, soundRate))
    const column = Array.from({ length: 64 }, (_, row) => picture[row * 64 + 32] ?? 0)
    expect(column.indexOf(Math.max(...column))).toBe(63 - 16) // 1000 Hz of 62.5 Hz each
    expect(Math.max(...column)).toBeCloseTo(1, 2)
    expect(new Set(spectrograms.pictureOf(new Float32Array(spectrograms.clipSamples)))).toEqual(new Set([0]))
  })

  it.each([
    ['a sine', (count: number) => sine(count, 700, soundRate, 0.7)],
    ['a chirp', (count: number) => chirp(count, 200, 3500, soundRate)],
    [
      'two sines',
      (count: number) =>
        sine(count, 400, soundRate, 0.4).map((v, at) => v + (sine(count, 1900, soundRate, 0.3)[at] ?? 0)),
    ],
  ])('become %s again, from bytes', (_name, make) => {
    const spectrograms = new Spectrograms(64)
    const picture = spectrograms.pictureOf(make(spectrograms.clipSamples)).map((value) => Math.round(value * 255) / 255)
    const sound = spectrograms.soundOf(picture, 1)
    expect(spectrograms.convergence(picture, sound)).toBeLessThan(0.1)
    expect(spectrograms.soundOf(picture, 1)).toEqual(sound)
    expect(spectrograms.convergence(picture, new Float32Array(sound.length))).toBeCloseTo(1, 5)
  })
})

describe('a folder of sounds', () => {
  /** Sines of 0.3 s at 16 kHz, the first one with 1 s of silence and a second sine behind it. */
  function folderOf(count: number): string {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'below'))
    for (let index = 0; index < count; index++) {
      const tone = sine(4800, 300 + 100 * index, 16_000, 0.1 + 0.05 * index)
      const sound = index === 0 ? Float32Array.from([...tone, ...new Float32Array(16_000), ...tone]) : tone
      writeFileSync(join(folder, index % 2 ? 'below' : '', `${index}.WAV`), wav([sound], 16_000, {}))
    }
    writeFileSync(join(folder, 'readme.txt'), 'not a sound')
    return folder
  }
  const open = (folder: string) => openDataset('audio', folder, { seed: 1, imageSize: 64 }) // clips of 0.256 s

  it('is a data set of clips, equally loud, without pauses', () => {
    const { train, test, ...rest } = open(folderOf(10))
    expect(rest).toEqual({ name: 'audio', height: 64, width: 64, channels: 1 })
    expect([train.count, test.count, train.labels.length]).toEqual([11, 1, 0])
    const brightest = (at: number) => Math.max(...train.images.subarray(at * 64 * 64, (at + 1) * 64 * 64))
    expect(brightest(5)).toBeGreaterThan(250)
    expect(brightest(10)).toBeGreaterThan(250)
  })

  it('is refused in words where it cannot be used', () => {
    expect(() => open(temporaryFolder())).toThrow(/no .wav files in it; write a folder that has some/)
    expect(() => open(folderOf(1))).toThrow(/one sound; write a folder with two or more/)
    expect(() => openDataset('audio')).toThrow(/write --data-dir FOLDER too/)
    const folder = folderOf(3)
    writeFileSync(join(folder, '0.WAV'), wav([new Float32Array(500)], 8000, {}))
    expect(() => open(folder)).toThrow(/0.WAV cannot be used \(there is nothing but silence in it\); take it out/)
    writeFileSync(join(folder, '0.WAV'), 'no')
    expect(() => open(folder)).toThrow(/0.WAV cannot be read as sound/)
    expect(resolveConfig({ dataset: 'audio' }).imageSize).toBe(128)
    expect(() => resolveConfig({ dataset: 'audio', imageSize: 100 })).toThrow(/for --dataset audio write 16, 32, 64/)
  })
})
