import { exitCode, usage } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { describeEvaluation } from '../describe-evaluation.ts'
import { backendFlag, checkedEngine, deviceFlag } from '../device.ts'
import { evaluateFile } from '../evaluate-file.ts'
import { evaluateFolder } from '../evaluate-folder.ts'
import { prepareNative, threadsPerWorker } from '../native-setup.ts'
import type { Command } from '../parse.ts'
import { jsonFlag } from '../run-options.ts'
import { wholeNumber } from '../values.ts'
import { checkedThreads, threadsFlag } from './worker.ts'

/** Images that are generated where nobody says how many. */
const defaultSamples = 10_000

export const evaluateCommand: Command = {
  name: 'evaluate',
  summary: 'quality of a checkpoint, or of images: FID, KID, precision, recall, modes; −ELBO of a VAE',
  example: 'ringleader evaluate --checkpoint runs/RUN_ID/checkpoints/step-00004690 --json',
  flags: {
    checkpoint: { type: 'string', describe: 'folder of a checkpoint' },
    images: {
      type: 'string',
      describe: 'in its place images that any program has made: FILE.npy, as generate writes it, or uint8',
    },
    samples: {
      type: 'number',
      describe:
        'images to generate, or to take of the file, beside as many test images (default: 10000; all of the file)',
    },
    seed: { type: 'number', describe: 'seed of the noise', default: 1 },
    dataset: { type: 'string', describe: 'real images to compare with (default: what the run trained on; mnist)' },
    'data-dir': { type: 'string', describe: 'folder of that data set' },
    classifier: {
      type: 'string',
      describe: "weights.safetensors of a trained --model classifier (default: the program's, of MNIST)",
    },
    'importance-samples': { type: 'number', describe: 'samples of z for the IWAE bound of a VAE', default: 50 },
    backend: backendFlag,
    device: deviceFlag,
    threads: { ...threadsFlag, describe: 'threads of TensorFlow (default: the cores)' },
    json: { ...jsonFlag, describe: 'print one JSON object on stdout' },
  },
  async run(parsed) {
    const text = (value: unknown) => (typeof value === 'string' ? value : null)
    const { minEvaluationSamples, maxEvaluationSamples } = limits
    const samples =
      parsed.samples === undefined
        ? null
        : wholeNumber('samples', parsed.samples, minEvaluationSamples, maxEvaluationSamples)
    const seed = wholeNumber('seed', parsed.seed, 0, Number.MAX_SAFE_INTEGER)
    const importanceSamples = wholeNumber('importance-samples', parsed.importanceSamples, 1, 5000)
    const { backend, device } = checkedEngine(parsed.backend, parsed.device)
    const threads = parsed.threads === undefined ? threadsPerWorker(1) : checkedThreads(parsed.threads, 1)
    const [checkpoint, images, dataset] = [text(parsed.checkpoint), text(parsed.images), text(parsed.dataset)]
    if ((checkpoint === null) === (images === null))
      throw usage('write --checkpoint DIR, or --images FILE.npy; one of the two')
    if (backend === 'auto' || backend === 'tensorflow') await prepareNative(false)
    const by = { classifier: text(parsed.classifier), dataDir: text(parsed.dataDir), seed, backend, device, threads }
    const evaluated =
      images === null
        ? await evaluateFolder({
            ...{ ...by, checkpoint: checkpoint ?? '', dataset, importanceSamples },
            samples: samples ?? defaultSamples,
          })
        : await evaluateFile({ ...by, images, dataset: dataset ?? 'mnist', samples })
    process.stdout.write(parsed.json === true ? `${JSON.stringify(evaluated)}\n` : describeEvaluation(evaluated))
    return exitCode.ok
  },
}
