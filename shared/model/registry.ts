import { classifier } from './classifier.ts'
import { conditionalVae, convolutionalVae, flowVae } from './convolutional-vae.ts'
import { conditionalDcgan, dcgan } from './dcgan.ts'
import { type ModelDescription, parseDescription } from './description.ts'
import { gan } from './gan.ts'
import { spectrogramVae } from './spectrogram-vae.ts'
import { vae } from './vae.ts'

/** The models that have a name. A new one takes a file and its line here. */
const models = [
  vae,
  gan,
  dcgan,
  conditionalDcgan,
  convolutionalVae,
  flowVae,
  conditionalVae,
  spectrogramVae,
  classifier,
]

export const registry: Readonly<Record<string, ModelDescription>> = Object.fromEntries(
  models.map((model) => [model.name, parseDescription(model, `model ${model.name}`)]),
)
