import { z } from 'zod'
import { scalarKind } from '../../shared/core/scalar-kind.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'
import { atRest, type Hysteresis, hysteresisSchema, observed } from './hysteresis.ts'
import { type Illness, illnesses, illnessNames } from './illnesses.ts'
import { dominantWave, oscillationEvery, oscillationWindow } from './oscillation.ts'

const numbers = z.record(z.string(), z.number())

/** All that the next decision depends on; bounded, and part of the journal's snapshots. */
export const stabilityStateSchema = z.object({
  illnesses: z.partialRecord(
    z.enum(illnessNames),
    z.object({ ...hysteresisSchema.shape, value: z.number(), reason: z.string() }),
  ),
  smoothed: numbers,
  lowest: numbers,
  /** Of what looks at the samples gave. */
  highest: numbers,
  /** Step of the last look that counted. */
  lookedAt: z.number(),
  /** Last values of the loss whose spectrum is looked at. */
  window: z.array(z.number()),
  steps: z.number(),
})
export type StabilityState = z.infer<typeof stabilityStateSchema>

export interface Alarm {
  readonly illness: Illness
  /** Step of the first value that led to it. */
  readonly since: number
  readonly reason: string
}

/** Weight of the last step in a smoothed value: about the last ten, or forty, count. */
const quickly = 0.2
const slowly = 0.05
/** A loss beyond so many times the lowest that it was diverges; those of a game move by orders of magnitude. */
const objectiveFactor = 2
const gameFactor = 100
/** Below this loss on real images and fakes a discriminator is not only right but sure (Chintala et al. 2016, tip 10: a loss towards 0). */
const sureLoss = 0.02
/** Beyond it a loss counts as this much, or one huge loss at the beginning would be remembered for hundreds of steps. */
const unsureLoss = 1
/** Looks that count are so much of an epoch apart at least: every training begins with samples that are alike. */
const looksApart = 1 / 8
/** Variety of samples by that of the data, and of classes, that a generator has to have had for a fall to half of it to be counted from there. */
const leastDiversity = 0.4
const leastEntropy = 0.6
/** Where a discriminator has just begun, it is often right for a while. */
const settlingSteps = 20

const freshState = (): StabilityState => ({
  illnesses: {},
  smoothed: {},
  lowest: {},
  highest: {},
  lookedAt: 0,
  window: [],
  steps: 0,
})

/** Watches over a training by its committed steps and what looks at its samples gave. Pure: the same steps give the same alarms. */
export class Stability {
  #state: StabilityState

  constructor(state: StabilityState = freshState()) {
    this.#state = state
  }

  get state(): StabilityState {
    return structuredClone(this.#state)
  }

  get alarms(): Alarm[] {
    return illnessNames.flatMap((illness) => {
      const { raised = false, since = 0, reason = '' } = this.#state.illnesses[illness] ?? {}
      return raised ? [{ illness, since, reason }] : []
    })
  }

  /** Something was done about it: what was seen before says nothing about what comes. */
  reset(): void {
    this.#state = freshState()
  }

  committed({ step, skipped, scalars }: Pick<CommittedStep, 'step' | 'skipped' | 'scalars'>): void {
    const state = this.#state
    this.#observe('non-finite', step, skipped ? 1 : 0)
    if (skipped) return
    state.steps++
    this.#divergence(step, scalars)
    this.#balance(step, scalars)
    const loss = scalars.generatorLoss ?? scalars.vaeLoss ?? scalars.classifierLoss
    if (loss === undefined) return
    state.window.push(loss)
    if (state.window.length > oscillationWindow) state.window.shift()
    if (state.window.length === oscillationWindow && state.steps % oscillationEvery === 0)
      this.#observe('oscillation', step, dominantWave(state.window).share)
  }

  inspected(step: number, figures: Readonly<Record<string, number>>, stepsPerEpoch: number): void {
    if (step - this.#state.lookedAt < looksApart * stepsPerEpoch) return
    this.#state.lookedAt = step
    const { diversity, classEntropy = 0, activeShare } = figures
    // The samples of a VAE are alike for longer; it is ill where its latents say nothing.
    if (activeShare !== undefined) this.#observe('posterior-collapse', step, activeShare)
    else if (diversity !== undefined) this.#observe('mode-collapse', step, this.#variety(diversity, classEntropy))
  }

  /** The smaller of the samples' diversity and class entropy, each by the highest that it was. */
  #variety(diversity: number, classEntropy: number): number {
    const highestDiversity = this.#highest('diversity', diversity)
    const highestEntropy = this.#highest('classEntropy', classEntropy)
    return Math.min(
      diversity / Math.max(leastDiversity, highestDiversity),
      highestEntropy < leastEntropy ? 1 : classEntropy / highestEntropy,
    )
  }

  #highest(name: string, value: number): number {
    const highest = Math.max(value, this.#state.highest[name] ?? 0)
    this.#state.highest[name] = highest
    return highest
  }

  /** What is known of the training as a whole, for an event beside what a look at the samples gave. */
  figures(): Record<string, number> {
    const { window, smoothed } = this.#state
    const full = window.length === oscillationWindow
    const { share, period } = full ? dominantWave(window) : { share: 0, period: 0 }
    const accuracy = smoothed.accuracy
    return {
      ...(full ? { oscillation: share, oscillationPeriod: period } : {}),
      ...(accuracy === undefined ? {} : { balance: 2 * accuracy - 1 }),
    }
  }

  #divergence(step: number, scalars: Readonly<Record<string, number>>): void {
    const updated = Object.keys(scalars).filter((name) => scalarKind(name) === 'gradientNorm')
    const losses = updated.map((name) => name.replace(/GradientNorm$/, 'Loss')).filter((name) => name in scalars)
    const factor = losses.length > 1 ? gameFactor : objectiveFactor
    const ratios = losses.map((name) => {
      const value = this.#smooth(name, Math.abs(scalars[name] ?? 0), quickly)
      const lowest = Math.min(value, this.#state.lowest[name] ?? Number.POSITIVE_INFINITY)
      this.#state.lowest[name] = lowest
      return value / Math.max(1, lowest) / factor
    })
    if (ratios.length > 0) this.#observe('divergence', step, Math.max(...ratios))
  }

  #balance(
    step: number,
    { realAccuracy, fakeAccuracy, pairAccuracy, realLoss = 0, fakeLoss = 0 }: Readonly<Record<string, number>>,
  ): void {
    const both = realAccuracy !== undefined && fakeAccuracy !== undefined
    const accuracy = both ? (realAccuracy + fakeAccuracy) / 2 : pairAccuracy
    if (accuracy === undefined) return
    const smoothed = this.#smooth('accuracy', accuracy, slowly)
    const loss = this.#smooth('surety', Math.min(unsureLoss, realLoss + fakeLoss), slowly)
    // A critic may be as good as it can: its slope does not vanish (Arjovsky et al. 2017, section 3).
    if (both && this.#state.steps > settlingSteps)
      this.#observe('discriminator-too-strong', step, loss < sureLoss ? smoothed : 0)
  }

  #smooth(name: string, value: number, weight: number): number {
    const before = this.#state.smoothed[name]
    const after = before === undefined ? value : before + weight * (value - before)
    this.#state.smoothed[name] = after
    return after
  }

  #observe(illness: Illness, step: number, value: number): void {
    const before: Hysteresis & { reason?: string } = this.#state.illnesses[illness] ?? atRest
    const { rule, says } = illnesses[illness]
    const after = observed(rule, before, step, value)
    const reason = after.raised ? (before.raised ? before.reason : says(value)) : ''
    this.#state.illnesses[illness] = { ...after, value, reason: reason ?? '' }
  }
}
