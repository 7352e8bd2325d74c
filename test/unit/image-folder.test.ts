import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from 'jpeg-js'
import { PNG } from 'pngjs'
import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../shared/core/config.ts'
import { decodeImage, type Picture } from '../../shared/dataset/decode-image.ts'
import { checkDatasetBytes } from '../../shared/dataset/folder-files.ts'
import { openDataset } from '../../shared/dataset/open-dataset.ts'
import { centredSquare } from '../../shared/dataset/resample.ts'
import { isFlipped, mirror } from '../../worker/step/flip.ts'
import { temporaryFolder } from '../support/folder.ts'

type Colour = readonly [red: number, green: number, blue: number, opacity?: number]

function picture(height: number, width: number, at: (x: number, y: number) => Colour): Picture & { data: Buffer } {
  const pixels = Array.from({ length: height * width }, (_, index) => at(index % width, Math.floor(index / width)))
  return { height, width, data: Buffer.from(pixels.flatMap(([r, g, b, a = 255]) => [r, g, b, a])) }
}

function png({ height, width, data }: Picture): Buffer {
  const image = new PNG({ height, width })
  image.data.set(data)
  return PNG.sync.write(image)
}

const grey = (value: number): Colour => [value, value, value]
const steep = picture(4, 6, (x, y) => [x * 40, y * 60, 7])

describe('decoding', () => {
  it('gives the pixels of a PNG, grey or coloured', () => {
    expect([...decodeImage(png(steep), 'f').data]).toEqual([...steep.data])
    const image = new PNG({ width: 2, height: 1 })
    image.data.set([9, 9, 9, 255, 200, 200, 200, 255])
    expect([...decodeImage(PNG.sync.write(image, { colorType: 0 }), 'f').data]).toEqual([...image.data])
  })

  it('gives the pixels of a JPEG, but for what it loses', () => {
    const smooth = picture(16, 24, (x, y) => [x * 8, y * 12, 100])
    const { height, width, data } = decodeImage(encode(smooth, 95).data, 'f')
    expect([height, width]).toEqual([16, 24])
    for (const [at, value] of data.entries()) expect(Math.abs(value - (smooth.data[at] ?? 0))).toBeLessThan(12)
  })

  const bomb = Buffer.from(png(steep).subarray(0, 24))
  bomb.writeUInt32BE(60_000, 16)
  bomb.writeUInt32BE(60_000, 20)
  it.each([
    ['empty', Buffer.alloc(0), /neither PNG nor JPEG/],
    ['text', Buffer.from('hello there'), /neither PNG nor JPEG/],
    ['a PNG that is cut off', png(steep).subarray(0, 60), /mend it or take it out of the folder/],
    ['only the signature of a PNG', png(steep).subarray(0, 8), /it is cut off/],
    ['a JPEG that is cut off', encode(steep, 90).data.subarray(0, 200), /mend it or take it out of the folder/],
    ['a bomb', bomb, /more than 100 million pixels/],
  ])('refuses what is %s by name', (_name, bytes, message) => {
    expect(() => decodeImage(bytes, 'folder/f.png')).toThrow(message)
    expect(() => decodeImage(bytes, 'folder/f.png')).toThrow(/^folder\/f.png cannot be read as an image/)
  })
})

describe('resizing', () => {
  it('takes the square in the middle and leaves it as it is where it has the size', () => {
    const square = [...centredSquare(steep, 4)]
    expect(square).toEqual([0, 1, 2, 3].flatMap((y) => [1, 2, 3, 4].flatMap((x) => [x * 40, y * 60, 7])))
  })

  it('weighs by triangles', () => {
    const line = picture(4, 4, (x) => grey([0, 0, 240, 240][x] ?? 0))
    // centres at 0.5 and 2.5, reach 2: weights .75 .75 .25 (of places 0 1 2), and their mirror image
    const low = Math.round((240 * 0.25) / 1.75)
    expect([...centredSquare(line, 2)].filter((_, at) => at % 3 === 0)).toEqual([low, 240 - low, low, 240 - low])
    const two = picture(2, 2, (x) => grey(x * 100))
    expect([...centredSquare(two, 4)].filter((_, at) => at % 3 === 0).slice(0, 4)).toEqual([0, 25, 75, 100])
  })

  it('keeps what is even, at any size, and lays what is transparent on white', () => {
    for (const size of [1, 3, 7, 20]) {
      const even = picture(7, 9, () => [10, 20, 30])
      expect(new Set(centredSquare(even, size))).toEqual(new Set([10, 20, 30]))
    }
    expect([
      ...centredSquare(
        picture(1, 1, () => [0, 0, 0, 51]),
        1,
      ),
    ]).toEqual([204, 204, 204])
  })
})

describe('a folder of images', () => {
  function folderOf(count: number): string {
    const folder = temporaryFolder()
    mkdirSync(join(folder, 'below'))
    for (let index = 0; index < count; index++) {
      const image = picture(5, 5, () => grey(index))
      const name = `${String(index).padStart(3, '0')}`
      writeFileSync(join(folder, index % 2 ? 'below' : '', `${name}.PNG`), png(image))
    }
    writeFileSync(join(folder, 'readme.txt'), 'not an image')
    writeFileSync(join(folder, '.hidden.png'), 'not an image')
    return folder
  }
  const open = (folder: string) => openDataset('images', folder, { seed: 1, imageSize: 4 })

  it('is a data set in the order of the names, of which one image in ten is for tests', () => {
    const { train, test, ...rest } = open(folderOf(20))
    expect(rest).toEqual({ name: 'images', height: 4, width: 4, channels: 3 })
    expect([train.count, test.count, train.labels.length]).toEqual([18, 2, 0])
    const shown = (images: Uint8Array) => [...images].filter((_, at) => at % 48 === 0)
    expect(shown(train.images)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 1, 3, 5, 7, 9, 11, 13, 15, 17])
    expect(shown(test.images)).toEqual([18, 19])
    expect(open(folderOf(3)).test.count).toBe(1)
  })

  it('is refused in words where it cannot be used', () => {
    expect(() => open(temporaryFolder())).toThrow(/no .png, .jpg, .jpeg files in it; write a folder that has some/)
    expect(() => open('/nowhere')).toThrow(/--data-dir \/nowhere: ENOENT.*; write a folder with .png/)
    expect(() => open(folderOf(1))).toThrow(/one image; write a folder with two or more/)
    expect(() => openDataset('images')).toThrow(/write --data-dir FOLDER too/)
    const broken = folderOf(4)
    writeFileSync(join(broken, '002.PNG'), 'no')
    expect(() => open(broken)).toThrow(/002.PNG cannot be read as an image/)
    mkdirSync(join(broken, '001.jpg'))
    expect(() => open(broken)).toThrow(/001.jpg cannot be read/)
    expect(() => checkDatasetBytes(2 ** 31, 'write less')).toThrow(/2.0 GiB of memory; write less/)
    expect(() => resolveConfig({ imageSize: 64 })).toThrow(/--image-size is for --dataset images and audio/)
    expect(() => resolveConfig({ dataset: 'images', imageSize: 2 })).toThrow(/--image-size 2: write 4 or more/)
    expect(resolveConfig({ dataset: 'images' }).imageSize).toBe(32)
  })
})

describe('flips', () => {
  it('are of half the samples, by seed, epoch and sample', () => {
    const flips = (seed: number, epoch: number) => Array.from({ length: 2000 }, (_, id) => isFlipped(seed, epoch, id))
    const first = flips(1, 0)
    expect(flips(1, 0)).toEqual(first)
    for (const other of [flips(2, 0), flips(1, 1)]) {
      const alike = other.filter((flip, id) => flip === first[id]).length
      expect(alike).toBeGreaterThan(900) // 1000 ± 22
      expect(alike).toBeLessThan(1100)
    }
    const share = first.filter(Boolean).length
    expect(share).toBeGreaterThan(900)
    expect(share).toBeLessThan(1100)
  })

  it('mirror left to right and keep the channels', () => {
    const image = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    mirror(image, 3, 2)
    expect([...image]).toEqual([5, 6, 3, 4, 1, 2, 11, 12, 9, 10, 7, 8])
  })
})
