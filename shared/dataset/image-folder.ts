import { usage } from '../core/errors.ts'
import { decodeImage } from './decode-image.ts'
import { checkDatasetBytes, filesBelow, readDatasetFile, splitOff } from './folder-files.ts'
import type { ImageDataset, Split } from './image-dataset.ts'
import { centredSquare } from './resample.ts'

const channels = 3

/** Colour images from the PNG and JPEG files of a folder, each the square in its middle at `size` × `size`. There are no labels. */
export function loadImageFolder(folder: string, size: number): ImageDataset {
  const paths = filesBelow(folder, ['.png', '.jpg', '.jpeg'])
  if (paths.length < 2) throw usage(`--data-dir ${folder}: one image; write a folder with two or more`)
  checkDatasetBytes(
    paths.length * size * size * channels,
    'write a smaller --image-size, or a folder with fewer images',
  )
  const { train, test } = splitOff(paths)
  return { name: 'images', height: size, width: size, channels, train: load(train, size), test: load(test, size) }
}

function load(paths: readonly string[], size: number): Split {
  const bytes = size * size * channels
  const images = new Uint8Array(paths.length * bytes)
  for (const [index, path] of paths.entries())
    images.set(centredSquare(decodeImage(readDatasetFile(path), path), size), index * bytes)
  return { count: paths.length, images, labels: new Uint8Array(0) }
}
