import type { RunConfig } from '../../shared/core/config.ts'
import type { ImageShape } from '../../shared/core/image-grid.ts'
import { specOf } from '../../shared/model/description.ts'
import { classifier } from './classifier.ts'
import { gan } from './gan.ts'
import type { Model } from './model.ts'
import { vae } from './vae.ts'

/** The model that a run's config describes, for its data set's images. */
export function makeModel(config: RunConfig, image: ImageShape): Model {
  const spec = specOf(config.description, config, image)
  switch (spec.family) {
    case 'gan':
      return gan(spec, config)
    case 'vae':
      return vae(spec, config)
    case 'classifier':
      return classifier(spec)
    default:
      throw spec.family satisfies never
  }
}
