// What bubbles cost: a pipeline over a wide dense VAE with more and more micro-batches, beside the theory (docs/pipeline.md).
//   node test/bench/pipeline.mjs [STAGES] [STEPS]
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const [stages = 2, steps = 40] = process.argv.slice(2).map(Number)
const warmUp = 10
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const folder = mkdtempSync(join(tmpdir(), 'ringleader-pipeline-'))
const model = join(folder, 'wide.mjs')
const dense = (name, units, more = {}) => ({ kind: 'dense', name, units, activation: 'relu', ...more })
const linear = { activation: 'linear' }
const description = {
  name: 'wide-vae',
  family: 'vae',
  pixelRange: [0, 1],
  networks: [
    {
      name: 'encoder',
      input: 'image',
      layers: [
        dense('dense0', 1024),
        dense('dense1', 1024),
        dense('mean', 'latent', { ...linear, input: 'dense1' }),
        dense('logVariance', 'latent', { ...linear, input: 'dense1' }),
      ],
    },
    {
      name: 'decoder',
      input: 'latent',
      layers: [dense('dense0', 1024), dense('dense1', 1024), dense('logits', 'pixels', linear)],
    },
  ],
  recipes: {
    default: { epochs: 1, latentSize: 32, learningRates: { encoder: 1e-3, decoder: 1e-3 }, initializer: 'torch' },
  },
}
writeFileSync(model, `export default ${JSON.stringify(description)}\n`)

/** Medians over the steps behind the warm-up. */
function measured(workers, pipelineStages, accumulate) {
  const run = join(folder, `${pipelineStages}-${accumulate}`)
  const options = {
    ...{
      model,
      workers,
      'pipeline-stages': pipelineStages,
      accumulate,
      lanes: 16,
      'batch-size': 512,
      steps,
      threads: 1,
    },
    ...{ 'run-dir': run, 'checkpoint-every': steps, 'sample-every': steps, 'inspect-every': 0 },
  }
  if (pipelineStages > 1) delete options['inspect-every']
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  execFileSync(process.execPath, [join(root, 'cli/ringleader.mjs'), 'train', '--quiet', ...flags], { stdio: 'ignore' })
  const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n').map(JSON.parse).slice(warmUp)
  const median = (of) => lines.map(of).sort((a, b) => a - b)[Math.floor(lines.length / 2)]
  return { ms: 1000 * median(({ seconds }) => seconds), share: median(({ bubbleShare = 0 }) => bubbleShare) }
}

try {
  const alone = measured(1, 1, 1)
  console.log(`one worker: ${alone.ms.toFixed(1)} ms a step`)
  console.log('micro-batches  ms a step  waiting  theory')
  for (const microBatches of [1, 2, 4, 8, 16]) {
    const { ms, share } = measured(stages, stages, microBatches)
    const theory = (stages - 1) / (microBatches + stages - 1)
    const part = (value) => `${(100 * value).toFixed(0)} %`.padStart(7)
    console.log(`${String(microBatches).padStart(13)}  ${ms.toFixed(1).padStart(9)}  ${part(share)} ${part(theory)}`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
