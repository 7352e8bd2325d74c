import type { RunConfig } from '../../shared/core/config.ts'
import { gan } from './gan.ts'
import type { Model } from './model.ts'
import { vae } from './vae.ts'

export function makeModel(config: RunConfig, pixels: number): Model {
  switch (config.model) {
    case 'gan':
      return gan(config, pixels)
    case 'vae':
      return vae(pixels)
    default:
      throw config.model satisfies never
  }
}
