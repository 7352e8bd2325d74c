import { readFileSync } from 'node:fs'
import { messageOf, usage } from '../shared/core/errors.ts'
import { limits } from '../shared/core/limits.ts'
import { decodeNpy, type NpyArray } from '../shared/core/npy.ts'
import type { ImageDataset } from '../shared/dataset/image-dataset.ts'
import { openDataset } from '../shared/dataset/open-dataset.ts'
import type { Evaluation } from '../worker/evaluate/evaluate-checkpoint.ts'
import { evaluateImages, type ImagesRequest } from '../worker/evaluate/evaluate-images.ts'

export interface FileRequest extends Omit<ImagesRequest, 'images' | 'rows' | 'dataset'> {
  /** An .npy file [count, height, width, channels]: float32 in 0…1, or uint8. */
  readonly images: string
  readonly dataset: string
  readonly dataDir: string | null
  /** How many of them, the first ones; null: all. */
  readonly samples: number | null
}

export interface EvaluatedImages extends Evaluation {
  readonly images: string
  readonly dataset: string
  readonly seed: number
  readonly seconds: number
}

/** Evaluates images in a file, made by whatever program. Errors say what to write instead. */
export async function evaluateFile(request: FileRequest): Promise<EvaluatedImages> {
  const began = performance.now()
  const array = decodeNpy(readBytes(request.images), `--images ${request.images}`)
  const [, height = null] = array.shape
  const dataset = openDataset(request.dataset, request.dataDir ?? undefined, { seed: 1, imageSize: height })
  const images = pixelsOf(array, request, dataset)
  const rows = images.length / (dataset.height * dataset.width * dataset.channels)
  const evaluation = await evaluateImages({ ...request, dataset, images, rows })
  const about = { images: request.images, dataset: dataset.name, seed: request.seed }
  return { ...about, seconds: (performance.now() - began) / 1000, ...evaluation }
}

/** [samples, pixels] in 0…1. */
function pixelsOf(
  { shape, values, type }: NpyArray,
  { images: path, samples }: FileRequest,
  { height, width, channels, name }: ImageDataset,
): Float32Array {
  const told = `--images ${path}`
  const [count = 0, ...each] = shape
  const whole = [height, width, channels]
  const fits = each.join() === whole.join() || (channels === 1 && each.join() === `${height},${width}`)
  if (!fits)
    throw usage(
      `${told} has images of ${each.join(' × ') || 'no extent'}, those of ${name} are ${whole.join(' × ')}; write [count, height, width, channels], or --dataset`,
    )
  const { minEvaluationSamples: least, maxEvaluationSamples: most } = limits
  const wanted = samples ?? count
  if (wanted > count) throw usage(`--samples ${wanted}: ${path} has ${count} images; write that or less`)
  if (wanted < least || wanted > most) throw usage(`${told} has ${count} images; write ${least} to ${most}`)
  const scale = type === 'uint8' ? 255 : 1
  const pixels = values.subarray(0, (wanted * values.length) / count).map((value) => value / scale)
  const odd = pixels.find((value) => !(value >= 0 && value <= 1))
  if (odd !== undefined) throw usage(`${told} has a pixel of ${odd}; write float32 in 0…1, or uint8`)
  return pixels
}

function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (error) {
    throw usage(`--images ${path}: ${messageOf(error)}`)
  }
}
