import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { PNG } from 'pngjs'
import { describe, expect, it } from 'vitest'
import { BlobStore } from '../../coordinator/blob-store.ts'
import { encodeImageGrid } from '../../shared/core/image-grid.ts'
import { makeChunks, sha256 } from '../../shared/dataset/chunk.ts'
import { ChunkCache } from '../../shared/dataset/chunk-cache.ts'
import { parseIdx } from '../../shared/dataset/idx.ts'
import { loadIdxFolder } from '../../shared/dataset/idx-folder.ts'
import { frames, movingDigits } from '../../shared/dataset/moving-digits.ts'
import { openDataset } from '../../shared/dataset/open-dataset.ts'
import { stackedDigits } from '../../shared/dataset/stacked-digits.ts'
import { chunkManifestSchema } from '../../shared/protocol/control.ts'
import { openSampleStore } from '../../worker/data/sample-store.ts'
import { temporaryFolder } from '../support/folder.ts'

function idx(shape: readonly number[], type = 8): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length)
  header.set([0, 0, type, shape.length])
  for (const [index, extent] of shape.entries()) header.writeUInt32BE(extent, 4 + 4 * index)
  const size = shape.reduce((product, extent) => product * extent, 1)
  return Buffer.concat([header, Buffer.from(Array.from({ length: size }, (_, index) => index % 251))])
}

describe('IDX files', () => {
  it('are read plain and packed', () => {
    for (const bytes of [idx([3, 2, 2]), gzipSync(idx([3, 2, 2]))]) {
      expect(parseIdx(bytes, 'f')).toMatchObject({ shape: [3, 2, 2] })
      expect([...parseIdx(bytes, 'f').data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    }
  })

  it.each([
    ['empty', Buffer.alloc(0), /f: no IDX magic number/],
    ['HTML', Buffer.from('<html></html>'), /f: no IDX magic number/],
    ['cut off', idx([3, 2, 2]).subarray(0, 20), /f: 20 bytes; its header \[3,2,2\] needs 28/],
    ['too long', Buffer.concat([idx([3]), Buffer.alloc(1)]), /f: 12 bytes; its header \[3\] needs 11/],
    ['of floats', idx([3], 0x0d), /f: element type 0xd; expected unsigned bytes/],
    ['of too many dimensions', idx([1, 1, 1, 1, 1]), /f: 5 dimensions/],
    ['packed and cut off', gzipSync(idx([300])).subarray(0, 30), /f: gzip: /],
  ])('that are %s are refused by name', (_name, bytes, message) => {
    expect(() => parseIdx(bytes, 'f')).toThrow(message)
  })
})

describe('a folder of IDX files', () => {
  const files = (): Record<string, Buffer> => ({
    'train-images-idx3-ubyte': idx([4, 3, 5]),
    'train-labels-idx1-ubyte': idx([4]),
    't10k-images-idx3-ubyte': idx([2, 3, 5]),
    't10k-labels-idx1-ubyte': idx([2]),
  })
  const write = (contents: Record<string, Buffer>) => {
    const folder = temporaryFolder()
    for (const [name, bytes] of Object.entries(contents)) writeFileSync(join(folder, name), bytes)
    return folder
  }

  it('is a data set, packed files and dotted names included', () => {
    const { 'train-images-idx3-ubyte': images, ...rest } = files()
    const folder = write({ ...rest, 'train-images.idx3-ubyte.gz': gzipSync(images ?? '') })
    expect(loadIdxFolder('own', folder, {})).toMatchObject({
      name: 'own',
      height: 3,
      width: 5,
      channels: 1,
      train: { count: 4 },
      test: { count: 2 },
    })
  })

  it('is refused by the name of the file that is wrong', () => {
    const swapped = { ...files(), 'train-images-idx3-ubyte': idx([4]), 'train-labels-idx1-ubyte': idx([4, 3, 5]) }
    expect(() => loadIdxFolder('own', write(swapped), {})).toThrow(
      /train-images-idx3-ubyte: 1 dimensions \[4\] where 3 belong: are images and labels swapped\?/,
    )
    expect(() => loadIdxFolder('own', write({ ...files(), 'train-labels-idx1-ubyte': idx([5]) }), {})).toThrow(
      /train-labels-idx1-ubyte: 5 labels for 4 images/,
    )
    expect(() => loadIdxFolder('own', write({ ...files(), 't10k-images-idx3-ubyte': idx([2, 3, 4]) }), {})).toThrow(
      /t10k-images-idx3-ubyte: images of 3×4, but the training images have 3×5/,
    )
    const { 't10k-labels-idx1-ubyte': _, ...missing } = files()
    expect(() => loadIdxFolder('own', write(missing), {})).toThrow(/t10k-labels-idx1-ubyte is missing/)
  })

  it('is refused where a digest is not the one that is known', () => {
    const folder = write(files())
    const digests = { 'train-labels-idx1-ubyte': sha256(idx([4])) }
    expect(loadIdxFolder('own', folder, digests).train.count).toBe(4)
    expect(() => loadIdxFolder('own', folder, { 'train-labels-idx1-ubyte': sha256(idx([5])) })).toThrow(
      /train-labels-idx1-ubyte: its SHA-256 is not/,
    )
  })

  it('MNIST is there with all its images', () => {
    const mnist = openDataset('mnist')
    expect([mnist.train.count, mnist.test.count, mnist.height, mnist.width]).toEqual([60_000, 10_000, 28, 28])
    expect([...mnist.train.labels.subarray(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
  })
})

describe('data sets by name', () => {
  it.skipIf(!existsSync('/usr/share/datasets/fashion-mnist'))('Fashion-MNIST is read where Debian puts it', () => {
    const { name, train, test } = openDataset('fashion-mnist')
    expect([name, train.count, test.count]).toEqual(['fashion-mnist', 60_000, 10_000])
    expect([...train.labels.subarray(0, 5)]).toEqual([9, 0, 0, 3, 0])
  })

  it('Fashion-MNIST is read from a folder, and an unknown name is refused with those that are known', () => {
    expect(() => openDataset('fashion-mnist', temporaryFolder())).toThrow(/train-images-idx3-ubyte is missing/)
    expect(() => openDataset('nist')).toThrow(/--dataset nist is unknown; write one of mnist, fashion-mnist, stacked/)
  })

  it('stacked digits are the digits, each once in each channel, by the seed', () => {
    const split = (count: number) => {
      const images = Uint8Array.from({ length: count * 6 }, (_, index) => Math.floor(index / 6) * 10 + (index % 6))
      return { count, images, labels: new Uint8Array(count) }
    }
    const digits = { name: 'mnist', height: 2, width: 3, channels: 1, train: split(20), test: split(5) }
    const stacked = stackedDigits(digits, 7)
    expect(stacked).toMatchObject({ name: 'stacked-mnist', height: 2, width: 3, channels: 3 })
    expect([stacked.train.count, stacked.train.images.length, stacked.train.labels.length]).toEqual([20, 360, 0])
    const first = (channel: number) =>
      Array.from({ length: 20 }, (_, i) => (stacked.train.images[i * 18 + channel] ?? 0) / 10)
    for (const channel of [0, 1, 2]) {
      expect(first(channel).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, digit) => digit))
      for (let pixel = 0; pixel < 6; pixel++)
        expect((stacked.train.images[pixel * 3 + channel] ?? 0) - (stacked.train.images[channel] ?? 0)).toBe(pixel)
    }
    expect(first(0)).not.toEqual(first(1))
    expect(stackedDigits(digits, 7)).toEqual(stacked)
    expect(stackedDigits(digits, 8).train.images).not.toEqual(stacked.train.images)
  })
})

describe('moving digits', () => {
  const lit = (count: number) => ({
    count,
    images: new Uint8Array(count * 64).fill(200),
    labels: Uint8Array.from({ length: count }, (_, id) => id),
  })
  const digits = { name: 'mnist', height: 8, width: 8, channels: 1, train: lit(30), test: lit(4) }
  /** Left and upper edge of what is lit in a frame, and how many pixels are. */
  const seen = (images: Uint8Array, clip: number, frame: number) => {
    const at = Array.from({ length: 64 }, (_, pixel) => pixel).filter(
      (pixel) => images[(clip * 64 + pixel) * frames + frame] === 200,
    )
    return {
      top: Math.min(...at.map((pixel) => pixel >> 3)),
      left: Math.min(...at.map((pixel) => pixel & 7)),
      lit: at.length,
    }
  }

  it('are whole in every frame, move by one to three pixels and bounce', () => {
    const { train, test, channels } = movingDigits(digits, 3)
    expect([train.count, test.count, channels]).toEqual([30, 4, frames])
    expect([...train.labels].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, id) => id))
    let turns = 0
    for (let clip = 0; clip < 30; clip++) {
      const places = Array.from({ length: frames }, (_, frame) => seen(train.images, clip, frame))
      for (const { lit } of places) expect(lit).toBe(16)
      const moves = places.slice(1).map(({ left }, at) => left - (places[at]?.left ?? 0))
      for (const move of moves) expect(Math.abs(move)).toBeLessThanOrEqual(4) // 3, and half a pixel of rounding at both ends
      turns += Number(moves.some((move) => move > 0) && moves.some((move) => move < 0))
    }
    expect(turns).toBeGreaterThan(5)
  })

  it('follow from the seed', () => {
    expect(movingDigits(digits, 3)).toEqual(movingDigits(digits, 3))
    expect(movingDigits(digits, 4).train.images).not.toEqual(movingDigits(digits, 3).train.images)
  })

  it('are shown a film in a row', () => {
    const films = Float32Array.from({ length: 2 * 4 * frames }, (_, at) => (at % frames) / (frames - 1))
    const { width, height, data } = PNG.sync.read(encodeImageGrid(films, { height: 2, width: 2, channels: frames }))
    expect([width, height]).toEqual([frames * 3 + 1, 2 * 3 + 1])
    for (let frame = 0; frame < frames; frame++)
      for (const y of [1, 5])
        expect(data[(y * width + frame * 3 + 2) * 4]).toBe(Math.round((frame / (frames - 1)) * 255))
  })
})

describe('chunks', () => {
  it('hold every sample once, and are named by what they hold', () => {
    const samples = Uint8Array.from({ length: 70 }, (_, index) => index)
    const { manifest, chunks } = makeChunks(samples, 7, 25)
    expect(manifest).toMatchObject({ sampleBytes: 7, samplesPerChunk: 3, sampleCount: 10 })
    expect(Buffer.concat(chunks).equals(Buffer.from(samples))).toBe(true)
    expect(manifest.chunks).toEqual(chunks.map((chunk) => ({ sha256: sha256(chunk), bytes: chunk.byteLength })))
  })

  it('come to a worker with the labels, each asked for once', async () => {
    const count = 5000
    const labels = Uint8Array.from({ length: count }, (_, id) => id % 10)
    const train = { count, images: new Uint8Array(count * 100), labels }
    const blobs = new BlobStore({ name: 'x', height: 10, width: 10, channels: 1, train, test: train })
    const manifest = chunkManifestSchema.parse(JSON.parse(JSON.stringify(blobs.manifest)))
    const asked: string[] = []
    const store = openSampleStore(manifest, new ChunkCache('/proc/none/cache', 1), (name) => {
      asked.push(name)
      return Promise.resolve(blobs.get(name) ?? new Uint8Array(0))
    })
    expect([...(await store.labels([0, 4999, 7]))]).toEqual([0, 9, 7])
    expect([...(await store.labels([13]))]).toEqual([3])
    expect(asked).toEqual(manifest.labels.map(({ sha256 }) => sha256))
    const { labels: _, ...unlabelled } = blobs.manifest
    const without = openSampleStore(chunkManifestSchema.parse(unlabelled), new ChunkCache('/proc/none/cache', 1), () =>
      Promise.resolve(new Uint8Array(0)),
    )
    await expect(without.labels([0])).rejects.toThrow('no labels')
  })

  it('are kept on disk, the ones not used for longest go first, and a damaged one is not given out', async () => {
    const folder = join(temporaryFolder(), 'cache')
    const cache = new ChunkCache(folder, 2500)
    const chunks = [0, 1, 2].map((fill) => new Uint8Array(1000).fill(fill))
    const names = chunks.map(sha256)
    expect(await cache.get(names[0] ?? '')).toBeNull()
    for (const [index, chunk] of chunks.entries()) expect(await cache.put(names[index] ?? '', chunk)).toBe(true)
    const present = await Promise.all(names.map((name) => cache.get(name)))
    expect(present.filter((chunk) => chunk !== null).length).toBeLessThan(3)
    expect(present[2]).toEqual(Buffer.from(chunks[2] ?? []))
    writeFileSync(join(folder, names[2] ?? ''), 'damaged')
    expect(await cache.get(names[2] ?? '')).toBeNull()
  })

  it('are not lost with a folder that cannot be written: they are fetched again', async () => {
    const cache = new ChunkCache('/proc/none/cache', 1000)
    expect(await cache.put('a', new Uint8Array(1))).toBe(false)
    expect(await cache.get('a')).toBeNull()
  })
})
