import { writeFileSync } from 'node:fs'
import { readCheckpoint } from '../../coordinator/checkpoint/checkpoint-store.ts'
import { flagOf, type RunConfig, usage } from '../../shared/core/config.ts'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { encodeImageGrid, type ImageShape } from '../../shared/core/image-grid.ts'
import { encodeNpy } from '../../shared/core/npy.ts'
import { openDataset } from '../../shared/dataset/open-dataset.ts'
import { labelClasses } from '../../shared/model/spec.ts'
import { generateFromCheckpoint, type Picture } from '../../worker/generate.ts'
import { interpolationSteps } from '../../worker/step/fixed-latents.ts'
import { backendFlag, checkedEngine, deviceFlag } from '../device.ts'
import { prepareNative, threadsPerWorker } from '../native-setup.ts'
import type { Command } from '../parse.ts'
import { wholeNumber } from '../values.ts'
import { writeSounds } from '../write-sounds.ts'

const maxCount = 100_000

/** By flag, as the parser spells it. */
const kinds = { interpolate: 'interpolation', latentMap: 'map', reconstruct: 'reconstruction' } as const

export const generateCommand: Command = {
  name: 'generate',
  summary: 'images from a checkpoint, as a PNG grid or a NumPy array; of --dataset audio the sounds too',
  example: 'ringleader generate --checkpoint runs/RUN_ID/checkpoints/step-00004690 --out digits.png',
  flags: {
    checkpoint: { type: 'string', describe: 'folder of a checkpoint', demandOption: true },
    count: { type: 'number', describe: 'number of images', default: 100 },
    seed: { type: 'number', describe: 'seed of the noise', default: 1 },
    out: {
      type: 'string',
      describe:
        'FILE.png (a grid) or FILE.npy (float32 [count, height, width, channels] in 0…1; with --reconstruct [2, count, …])',
      demandOption: true,
    },
    label: { type: 'number', describe: 'class to make, of a conditional model (default: one after the other)' },
    interpolate: { type: 'boolean', describe: 'rows of ten images between two latent vectors each', default: false },
    'latent-map': { type: 'boolean', describe: 'a square map of a latent plane (latent size 2)', default: false },
    reconstruct: {
      type: 'boolean',
      describe: "images of the data set's test split, and what a VAE makes of them",
      default: false,
    },
    'data-dir': { type: 'string', describe: 'with --reconstruct: folder of the data set' },
    backend: backendFlag,
    device: deviceFlag,
  },
  async run(parsed) {
    const out = String(parsed.out)
    if (!/\.(png|npy)$/.test(out)) throw usage(`--out ${out}: write a name that ends in .png or .npy`)
    const count = wholeNumber('count', parsed.count, 1, maxCount)
    const seed = wholeNumber('seed', parsed.seed, 0, Number.MAX_SAFE_INTEGER)
    const label = parsed.label === undefined ? null : wholeNumber('label', parsed.label, 0, labelClasses - 1)
    const kind = kindOf(parsed)
    if (kind === 'map' && !Number.isInteger(Math.sqrt(count)))
      throw usage(`--count ${count}: a map is a square; write 100 or 400, say`)
    const { backend, device } = checkedEngine(parsed.backend, parsed.device)
    const { manifest, weights } = readCheckpoint(String(parsed.checkpoint))
    const { config, image } = manifest
    const dataDir = typeof parsed.dataDir === 'string' ? parsed.dataDir : undefined
    const picture = kind === 'reconstruction' ? testImages(config, dataDir, image, count) : { kind }
    if (backend === 'auto' || backend === 'tensorflow') await prepareNative(false)
    const engine = { backend, device, threads: threadsPerWorker(1) }
    const request = { config, image, weights, picture, count, seed, label, ...engine }
    const images = await generateFromCheckpoint(request)
    write(out, encode(out, picture, images, image))
    const sounds = config.dataset === 'audio' ? writeSounds(out, images, image, seed, write) : ''
    process.stderr.write(`${count} images of step ${manifest.step} in ${out}${sounds}\n`)
    return exitCode.ok
  },
}

function write(path: string, bytes: Uint8Array): void {
  try {
    writeFileSync(path, bytes)
  } catch (error) {
    throw new RingleaderError('output', `cannot write ${path}: ${messageOf(error)}`, { cause: error })
  }
}

function kindOf(parsed: Readonly<Record<string, unknown>>): Picture['kind'] {
  const [first, second] = (Object.keys(kinds) as (keyof typeof kinds)[]).filter((flag) => parsed[flag] === true)
  if (first && second) throw usage(`${flagOf(first)} and ${flagOf(second)} exclude each other; write one of them`)
  return first ? kinds[first] : 'samples'
}

function testImages(config: RunConfig, dataDir: string | undefined, shape: ImageShape, count: number): Picture {
  const { test, height, width, channels } = openDataset(config.dataset, dataDir, config)
  if (height !== shape.height || width !== shape.width || channels !== shape.channels)
    throw usage(`--data-dir: its images are ${height} × ${width}, the model's ${shape.height} × ${shape.width}`)
  if (count > test.count) throw usage(`--count ${count}: the test split has ${test.count} images; write that or less`)
  return {
    kind: 'reconstruction',
    images: test.images.subarray(0, count * height * width * channels),
    labels: test.labels,
  }
}

function encode(out: string, picture: Picture, images: Float32Array, shape: ImageShape): Uint8Array {
  const { height, width, channels } = shape
  const pixels = height * width * channels
  const count = images.length / pixels
  const originals = picture.kind === 'reconstruction' ? Float32Array.from(picture.images, (byte) => byte / 255) : null
  if (out.endsWith('.npy')) {
    const all = originals ? Float32Array.from([...originals, ...images]) : images
    return encodeNpy([...(originals ? [2] : []), count, height, width, channels], all)
  }
  if (!originals) return encodeImageGrid(images, shape, picture.kind === 'map' ? Math.sqrt(count) : interpolationSteps)
  const columns = interpolationSteps
  const rows = Math.ceil(count / columns)
  const grid = new Float32Array(2 * rows * columns * pixels) // a row of originals, a row of what was made of them
  for (let row = 0; row < rows; row++)
    for (const [below, from] of [originals, images].entries())
      grid.set(
        from.subarray(row * columns * pixels, (row + 1) * columns * pixels),
        (2 * row + below) * columns * pixels,
      )
  return encodeImageGrid(grid, shape, columns)
}
