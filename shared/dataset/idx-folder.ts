import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitCode, RingleaderError } from '../core/errors.ts'
import { corrupt, type IdxArray, parseIdx } from './idx.ts'
import type { ImageDataset, Split } from './image-dataset.ts'

/** The four files of a data set like MNIST. `digests`: SHA-256 of the files, unpacked; a file without one is not checked. */
export function loadIdxFolder(name: string, folder: string, digests: Readonly<Record<string, string>>): ImageDataset {
  const train = loadSplit(folder, 'train', digests)
  const test = loadSplit(folder, 't10k', digests)
  const [, height = 0, width = 0] = train.shape
  if (test.shape[1] !== height || test.shape[2] !== width)
    throw corrupt(
      join(folder, 't10k-images-idx3-ubyte'),
      `images of ${test.shape.slice(1).join('×')}, but the training images have ${height}×${width}`,
    )
  return { name, height, width, channels: 1, train: train.split, test: test.split }
}

function loadSplit(
  folder: string,
  prefix: string,
  digests: Readonly<Record<string, string>>,
): { shape: number[]; split: Split } {
  const images = load(folder, `${prefix}-images-idx3-ubyte`, 3, digests)
  const labels = load(folder, `${prefix}-labels-idx1-ubyte`, 1, digests)
  const [count = 0] = images.shape
  if (labels.shape[0] !== count)
    throw corrupt(join(folder, `${prefix}-labels-idx1-ubyte`), `${labels.shape[0]} labels for ${count} images`)
  if (count === 0) throw corrupt(join(folder, `${prefix}-images-idx3-ubyte`), 'no images in it')
  return { shape: images.shape, split: { count, images: images.data, labels: labels.data } }
}

function load(folder: string, base: string, dimensions: number, digests: Readonly<Record<string, string>>): IdxArray {
  const dotted = base.replace('-idx', '.idx')
  const path = [base, `${base}.gz`, dotted, `${dotted}.gz`]
    .map((file) => join(folder, file))
    .find((file) => existsSync(file))
  if (path === undefined)
    throw new RingleaderError(
      'dataset-missing',
      `${join(folder, base)} is missing (looked for .gz too); write --data-dir FOLDER with the four IDX files`,
      { exit: exitCode.config },
    )
  const array = parseIdx(readFileSync(path), path)
  if (array.shape.length !== dimensions)
    throw corrupt(
      path,
      `${array.shape.length} dimensions [${array.shape}] where ${dimensions} belong: are images and labels swapped?`,
    )
  const expected = digests[base]
  if (expected !== undefined && sha256OfIdx(array) !== expected) throw corrupt(path, `its SHA-256 is not ${expected}`)
  return array
}

function sha256OfIdx(array: IdxArray): string {
  const header = Buffer.alloc(4 + 4 * array.shape.length)
  header.set([0, 0, 8, array.shape.length])
  for (const [index, extent] of array.shape.entries()) header.writeUInt32BE(extent, 4 + 4 * index)
  return createHash('sha256').update(header).update(array.data).digest('hex')
}
