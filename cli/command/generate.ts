import { writeFileSync } from 'node:fs'
import { readCheckpoint } from '../../coordinator/checkpoint/checkpoint-store.ts'
import { usage } from '../../shared/core/config.ts'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { encodeImageGrid } from '../../shared/core/image-grid.ts'
import { encodeNpy } from '../../shared/core/npy.ts'
import { generateFromCheckpoint } from '../../worker/generate.ts'
import { prepareNative, threadsPerWorker } from '../native-setup.ts'
import type { Command } from '../parse.ts'
import { wholeNumber } from '../values.ts'
import { backendFlag, checkedBackend } from './worker.ts'

const maxCount = 100_000

export const generateCommand: Command = {
  name: 'generate',
  summary: 'images from a checkpoint, as a PNG grid or a NumPy array',
  example: 'ringleader generate --checkpoint runs/RUN_ID/checkpoints/step-00004690 --out digits.png',
  flags: {
    checkpoint: { type: 'string', describe: 'folder of a checkpoint', demandOption: true },
    count: { type: 'number', describe: 'number of images', default: 100 },
    seed: { type: 'number', describe: 'seed of the noise', default: 1 },
    out: {
      type: 'string',
      describe: 'FILE.png (a grid) or FILE.npy (float32 [count, height, width, channels] in 0…1)',
      demandOption: true,
    },
    backend: backendFlag,
  },
  async run(parsed) {
    const out = String(parsed.out)
    if (!/\.(png|npy)$/.test(out)) throw usage(`--out ${out}: write a name that ends in .png or .npy`)
    const count = wholeNumber('count', parsed.count, 1, maxCount)
    const seed = wholeNumber('seed', parsed.seed, 0, Number.MAX_SAFE_INTEGER)
    const backend = checkedBackend(parsed.backend)
    const { manifest, weights } = readCheckpoint(String(parsed.checkpoint))
    const { height, width, channels } = manifest.image
    if (backend !== 'wasm') await prepareNative(false)
    const images = await generateFromCheckpoint({
      config: manifest.config,
      image: manifest.image,
      weights,
      count,
      seed,
      backend,
      threads: threadsPerWorker(1),
    })
    const bytes = out.endsWith('.png')
      ? encodeImageGrid(images, manifest.image)
      : encodeNpy([count, height, width, channels], images)
    try {
      writeFileSync(out, bytes)
    } catch (error) {
      throw new RingleaderError('output', `cannot write ${out}: ${messageOf(error)}`, { cause: error })
    }
    process.stderr.write(`${count} images of step ${manifest.step} in ${out}\n`)
    return exitCode.ok
  },
}
