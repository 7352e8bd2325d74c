import type { Options } from 'yargs'
import { usage } from '../shared/core/config.ts'
import { parsePruning } from '../shared/core/prune-options.ts'
import { ganLosses, noises } from '../shared/model/hyperparameters.ts'

const number = (describe: string) => ({ type: 'number', describe, group: 'Model:' }) as const
const text = (describe: string) => ({ type: 'string', describe, group: 'Model:' }) as const

/** What a recipe sets otherwise. The names are those of shared/model/hyperparameters.ts. */
export const modelFlags = {
  recipe: text(
    "set of defaults, by the model: default, or one named after the loss; gan: article (default: the loss's)",
  ),
  loss: text(`losses of a GAN: ${ganLosses.join(', ')}`),
  'latent-size': number('numbers of the latent vector'),
  noise: text(`its distribution: ${noises.join(', ')} (default: normal)`),
  'real-target': number('target for real images, below 1: one-sided label smoothing (default: 1)'),
  'discriminator-updates': number("updates of a GAN's discriminator in a step (default: 5)"),
  'gradient-penalty': number('weight of the penalty of wgan-gp (default: 10)'),
  'weight-clip': number("bound of the critic's weights with wgan (default: 0.01)"),
  r1: number('weight of the penalty R1; 0: none (default: 0)'),
  'r1-every': number('steps of which one has R1, so many times heavier (default: 1)'),
  'spectral-norm': {
    type: 'boolean',
    describe: "divide the discriminator's kernels by their spectral norms",
    group: 'Model:',
  },
  'instance-noise': number('standard deviation of noise on what the discriminator sees (default: 0)'),
  'instance-noise-epochs': number('epochs over which it falls to 0; 0: it stays (default: 0)'),
  packing: number('images that the discriminator sees at once (default: 1)'),
  'average-decay': number('decay of a moving average of the generator, which samples are made with; 0: none'),
  beta: number("weight of a VAE's KL divergence (default: 1)"),
  'kl-warmup-epochs': number('epochs over which it rises from 0 (default: 0)'),
  'free-bits': number('nats of each latent dimension that cost nothing (default: 0)'),
  initializer: text('first weights: glorot, torch or normal'),
  'learning-rates': text('rates by network, such as generator=1e-4,discriminator=4e-4'),
  beta1: number("decay of Adam's first moment"),
  beta2: number("decay of Adam's second moment"),
  'warmup-steps': number('steps over which the rates rise from 0 (default: 0)'),
  'decay-epochs': number('epochs over which the rates fall to a twentieth; 0: they stay'),
  decay: text('how they fall: linear or cosine (default: linear)'),
  'clip-gradient-norm': number("bound of a gradient's norm; 0: none (default: 0)"),
  prune: text('part of the weights of kernels to prune by the end: 0.8, or by network or layer, generator=0.8'),
  'prune-begin': number('part of the steps after which pruning begins (default: 0.1)'),
  'prune-end': number('part of the steps after which it is done (default: 0.7)'),
  'clip-gradient-value': number("bound of each of a gradient's values; 0: none (default: 0)"),
} as const satisfies Record<string, Options>

type Parsed = Readonly<Record<string, unknown>>

/** Their values under the names that the config has. */
export function modelOptions(parsed: Parsed): Record<string, unknown> {
  const names = Object.keys(modelFlags).map((flag) => flag.replace(/-./g, (pair) => pair.charAt(1).toUpperCase()))
  const options = Object.fromEntries(names.map((name) => [name, parsed[name]]))
  const rates = parsed.learningRates
  if (parsed.prune !== undefined) options.prune = parsePruning('prune', parsed.prune)
  return { ...options, ...(rates === undefined ? {} : { learningRates: ratesOf(rates) }) }
}

function ratesOf(value: unknown): Record<string, number> {
  const pairs = String(value)
    .split(',')
    .map((pair) => pair.split('='))
  if (pairs.some(([name, rate]) => !name || !(Number(rate) > 0)))
    throw usage(`--learning-rates ${String(value)}: write NETWORK=RATE,NETWORK=RATE, such as generator=1e-4`)
  return Object.fromEntries(pairs.map(([name = '', rate]) => [name, Number(rate)]))
}
