import { usage } from '../core/errors.ts'
import type { ModelDescription } from './description.ts'
import { defaultHyperparameters, type Hyperparameters } from './hyperparameters.ts'

type Option = keyof typeof defaultHyperparameters

/** Options that mean something for one family of models only. */
const optionsOf: Record<ModelDescription['family'], readonly Option[]> = {
  gan: [
    ...(['loss', 'realTarget', 'discriminatorUpdates', 'gradientPenalty', 'r1', 'weightClip', 'spectralNorm'] as const),
    ...(['r1Every', 'instanceNoise', 'instanceNoiseEpochs', 'packing', 'averageDecay'] as const),
  ],
  vae: ['beta', 'klWarmupEpochs', 'freeBits'],
  classifier: [],
}

/** Refuses pairs that make no sense. */
export function checkModelOptions(config: Hyperparameters & { readonly description: ModelDescription }): void {
  const { description, loss, packing } = config
  const isSet = (option: Option) => config[option] !== defaultHyperparameters[option]
  const flag = (option: string) => `--${option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  const own = optionsOf[description.family]
  const foreign = Object.values(optionsOf)
    .flat()
    .find((option) => !own.includes(option) && isSet(option))
  if (foreign) throw usage(`${flag(foreign)} means nothing to model ${description.name}; leave it out`)
  if (isSet('weightClip') && loss !== 'wgan')
    throw usage(`--weight-clip goes with --loss wgan, not ${loss}; leave it out`)
  if (isSet('gradientPenalty') && loss !== 'wgan-gp')
    throw usage(`--gradient-penalty goes with --loss wgan-gp, not ${loss}; leave it out, or write --r1`)
  if (isSet('r1Every') && !isSet('r1'))
    throw usage('--r1-every goes with --r1; write how much it weighs, or leave it out')
  if (isSet('realTarget') && !['non-saturating', 'minimax', 'lsgan'].includes(loss))
    throw usage(`--real-target means nothing to --loss ${loss}; leave it out`)
  const conditional = description.networks.some(({ layers }) => layers.some(({ kind }) => kind === 'label'))
  if (conditional && packing > 1)
    throw usage('--packing: a pack of images has no one label; write a model without labels')
}
