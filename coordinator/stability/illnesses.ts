import type { Rule } from './hysteresis.ts'

/** Illnesses of a training, each with its alarm. docs/stability.md says where the thresholds come from. */
export const illnesses = {
  'non-finite': {
    rule: { raise: 0.5, clear: 0.4, raiseAfter: 3, clearAfter: 10 },
    says: () => 'steps are skipped in a row: their gradients are not finite, or too large; lower the learning rates',
  },
  divergence: {
    rule: { raise: 1, clear: 0.7, raiseAfter: 5, clearAfter: 20 },
    says: () => 'a loss is far above the lowest that it was; lower the learning rates',
  },
  'discriminator-too-strong': {
    rule: { raise: 0.995, clear: 0.98, raiseAfter: 40, clearAfter: 20 },
    says: (value) =>
      `the discriminator is right in ${percent(value)} of the images, so the generator learns nothing from it; slow it down, or take another loss`,
  },
  oscillation: {
    rule: { raise: 0.6, clear: 0.4, raiseAfter: 3, clearAfter: 2 },
    says: (value) => `${percent(value)} of a loss's variation is one wave; lower the learning rates`,
  },
  'mode-collapse': {
    rule: { raise: 0.5, clear: 0.65, raiseAfter: 7, clearAfter: 2 },
    says: (value) =>
      `samples have ${percent(value)} of the variety that they had, or ought to have; take another loss or recipe, or --packing`,
  },
  'posterior-collapse': {
    rule: { raise: 0.05, clear: 0.1, raiseAfter: 2, clearAfter: 1 },
    says: (value) => `the encoder uses ${percent(value)} of the latent dimensions; lower --beta, or write --free-bits`,
  },
} as const satisfies Record<string, { rule: Rule; says: (value: number) => string }>

export type Illness = keyof typeof illnesses

export const illnessNames = Object.keys(illnesses) as Illness[]

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.1 || share > 0.99 ? 1 : 0)} %`
