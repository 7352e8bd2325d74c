import { describe, expect, it } from 'vitest'
import { atRest, type Hysteresis, observed } from '../../coordinator/stability/hysteresis.ts'
import { dominantWave, oscillationWindow } from '../../coordinator/stability/oscillation.ts'
import { Stability } from '../../coordinator/stability/stability.ts'
import { randomUnits } from '../support/random-units.ts'

const names = (stability: Stability) => stability.alarms.map(({ illness }) => illness)

/** Feeds steps 1 … count. */
function watched(count: number, scalars: (step: number) => Record<string, number>, stability = new Stability()) {
  for (let step = 1; step <= count; step++) stability.committed({ step, skipped: false, scalars: scalars(step) })
  return stability
}

describe('hysteresis', () => {
  const rule = { raise: 10, clear: 5, raiseAfter: 3, clearAfter: 2 }
  const play = (values: readonly number[], state: Hysteresis = atRest) =>
    values.map((value, index) => {
      state = observed(rule, state, index, value)
      return state.raised
    })

  it('raises after so many values in a row, and holds between its thresholds', () => {
    expect(play([11, 11, 9, 11, 11, 11, 7, 7, 4, 7, 4, 4, 7])).toEqual([
      ...[false, false, false, false, false, true],
      ...[true, true, true, true, true, false, false],
    ])
  })

  it('knows when it began', () => {
    let state = atRest
    for (const [step, value] of [1, 11, 1, 11, 11, 11, 7].entries()) state = observed(rule, state, step, value)
    expect(state).toEqual({ raised: true, count: 0, since: 3 })
  })

  it('goes the other way where small values are bad, and NaN is neither good nor bad', () => {
    const low = { raise: 0.3, clear: 0.4, raiseAfter: 1, clearAfter: 1 }
    expect(observed(low, atRest, 1, 0.29).raised).toBe(true)
    expect(observed(low, atRest, 1, 0.31).raised).toBe(false)
    expect(observed(low, { raised: true, count: 0, since: 1 }, 2, 0.39).raised).toBe(true)
    expect(observed(low, { raised: true, count: 0, since: 1 }, 2, 0.41).raised).toBe(false)
    expect(observed(low, atRest, 1, Number.NaN)).toEqual(atRest)
  })
})

describe('the dominant wave', () => {
  const series = (value: (at: number) => number) => Array.from({ length: oscillationWindow }, (_, at) => value(at))

  it('is the whole of a sine, on a slope too, and its period is told', () => {
    for (const period of [4, 16, 32]) {
      const { share, period: found } = dominantWave(
        series((at) => 3 + 0.1 * at + Math.sin((2 * Math.PI * at) / period)),
      )
      expect(share).toBeGreaterThan(0.95)
      expect(found).toBeCloseTo(period, 5)
    }
  })

  it('is a small part of noise, of a trend, of a random walk, and of nothing', () => {
    const noise = randomUnits(oscillationWindow)
    expect(dominantWave(series((at) => noise[at] ?? 0)).share).toBeLessThan(0.25)
    expect(dominantWave(series((at) => Math.exp(-at / 40) + 0.01 * (noise[at] ?? 0))).share).toBeLessThan(0.4)
    let walk = 0
    expect(dominantWave(series((at) => (walk += (noise[at] ?? 0) - 0.5))).share).toBeLessThan(0.5)
    expect(dominantWave(series(() => 7)).share).toBe(0)
  })
})

describe('alarms', () => {
  const noise = randomUnits(2000)
  const jitter = (step: number) => (noise[step % noise.length] ?? 0) - 0.5
  const healthyVae = (step: number) => ({
    vaeLoss: 105 + 430 * Math.exp(-step / 60) + 6 * jitter(step),
    vaeGradientNorm: 9,
  })
  const healthyGan = (step: number) => ({
    ...{ discriminatorLoss: 0.5 + 0.3 * jitter(step), discriminatorGradientNorm: 1 },
    ...{ generatorLoss: 2 + jitter(step), generatorGradientNorm: 1 },
    ...{ realAccuracy: 0.95 + 0.05 * jitter(step), fakeAccuracy: 0.97 + 0.05 * jitter(step) },
  })

  it('are silent on healthy trainings', () => {
    const vae = watched(1500, healthyVae)
    for (let step = 100; step < 1500; step += 100) vae.inspected(step, { diversity: 0.9, activeShare: 0.5 })
    expect(vae.alarms).toEqual([])
    const gan = watched(1500, healthyGan)
    for (let step = 100; step < 1500; step += 100) gan.inspected(step, { diversity: 0.8, modes: 10 })
    expect(gan.alarms).toEqual([])
    expect(gan.figures().balance).toBeGreaterThan(0.8)
    expect(gan.figures().oscillation).toBeLessThan(0.3)
  })

  it('tell divergence by the lowest loss so far, until it is low again', () => {
    const stability = watched(300, healthyVae)
    for (let step = 301; step <= 330; step++)
      stability.committed({ step, skipped: false, scalars: { vaeLoss: 400, vaeGradientNorm: 1e4 } })
    expect(names(stability)).toEqual(['divergence'])
    expect(stability.alarms[0]?.since).toBeGreaterThan(300)
    for (let step = 331; step <= 380; step++)
      stability.committed({ step, skipped: false, scalars: { vaeLoss: 106, vaeGradientNorm: 9 } })
    expect(stability.alarms).toEqual([])
  })

  it('tell three skipped steps in a row, but not one now and then', () => {
    const stability = new Stability()
    for (let step = 1; step <= 100; step++) stability.committed({ step, skipped: step % 3 === 0, scalars: {} })
    expect(stability.alarms).toEqual([])
    for (let step = 101; step <= 103; step++) stability.committed({ step, skipped: true, scalars: {} })
    expect(stability.alarms).toMatchObject([{ illness: 'non-finite', since: 101 }])
  })

  it('tell a discriminator that is always right, but for a critic', () => {
    const perfect = { realAccuracy: 1, fakeAccuracy: 1, realLoss: 0.001, fakeLoss: 0.001 }
    expect(watched(200, (step) => ({ ...healthyGan(step), ...perfect, realLoss: 0.2 })).alarms).toEqual([])
    expect(names(watched(200, (step) => ({ ...healthyGan(step), ...perfect })))).toEqual(['discriminator-too-strong'])
    expect(watched(200, () => ({ pairAccuracy: 1 })).alarms).toEqual([])
  })

  it('tell a loss that swings', () => {
    const swinging = (step: number) => ({ ...healthyGan(step), generatorLoss: 2 + Math.sin(step / 3) })
    expect(names(watched(600, swinging))).toEqual(['oscillation'])
  })

  it('tell samples that are all alike, and latent dimensions that are not used', () => {
    const stability = new Stability()
    for (const step of [10, 20, 30, 40, 50, 60]) stability.inspected(step, { diversity: 0.02, activeShare: 0 })
    expect(names(stability)).toEqual(['mode-collapse', 'posterior-collapse'])
    expect(stability.alarms[0]?.reason).toContain('2.0 %')
    for (const step of [70, 80]) stability.inspected(step, { diversity: 0.9, activeShare: 0.5 })
    for (const step of [90, 100, 110, 120, 130, 140]) stability.inspected(step, { diversity: 0.2, classEntropy: 0.9 })
    expect(stability.alarms).toEqual([])
  })

  it('come at the same step after a restart at any other, from what the journal keeps', () => {
    const ill = (step: number) => ({
      ...healthyGan(step),
      generatorLoss: 2 + Math.sin(step / 3),
      realAccuracy: 1,
      fakeAccuracy: 1,
    })
    const history = (restarts: ReadonlySet<number>) => {
      let stability = new Stability()
      const told: string[] = []
      for (let step = 1; step <= 500; step++) {
        stability.committed({ step, skipped: step % 100 < 4, scalars: ill(step) })
        if (step % 20 === 0) stability.inspected(step, { diversity: step < 200 ? 1 : 0.01 })
        told.push(JSON.stringify(stability.alarms))
        if (restarts.has(step)) stability = new Stability(JSON.parse(JSON.stringify(stability.state)))
      }
      return told
    }
    const undisturbed = history(new Set())
    expect(undisturbed.at(-1)).toContain('mode-collapse')
    expect(history(new Set([1, 37, 38, 101, 102, 103, 240, 241, 400]))).toEqual(undisturbed)
  })
})
