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
    for (let step = 100; step < 1500; step += 100) vae.inspected(step, { diversity: 0.9, activeShare: 0.5 }, 100)
    expect(vae.alarms).toEqual([])
    const gan = watched(1500, healthyGan)
    for (let step = 100; step < 1500; step += 100) gan.inspected(step, { diversity: 0.8, modes: 10 }, 100)
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
    const hugeAtFirst = (step: number) => ({ ...healthyGan(step), ...perfect, ...(step < 5 ? { fakeLoss: 1e5 } : {}) })
    expect(names(watched(200, hugeAtFirst))).toEqual(['discriminator-too-strong'])
    expect(watched(200, () => ({ pairAccuracy: 1 })).alarms).toEqual([])
  })

  /** The generator's loss of the Dirac-GAN, trained by alternating gradient descent (Mescheder et al. 2018, section 2), with R1 or without. */
  const diracGan = (r1: number) => {
    const rate = 0.3
    const slope = (t: number) => 1 / (1 + Math.exp(t)) // of f(t) = −log(1 + exp(−t))
    let [generator, discriminator] = [1, 1]
    return (step: number) => {
      discriminator += rate * (-slope(-generator * discriminator) * generator - r1 * discriminator)
      generator += rate * slope(generator * discriminator) * discriminator
      const generatorLoss = Math.log(1 + Math.exp(-generator * discriminator))
      return { generatorLoss: generatorLoss + 1e-3 * jitter(step), generatorGradientNorm: 1 }
    }
  }

  it('tell a game that goes round in circles, and not one that comes to rest', () => {
    const circles = watched(600, diracGan(0))
    expect(names(circles)).toEqual(['oscillation'])
    expect(circles.figures().oscillationPeriod).toBeGreaterThan(10)
    expect(watched(600, diracGan(1)).alarms).toEqual([])
  })

  it('tell a loss that swings', () => {
    const swinging = (step: number) => ({ ...healthyGan(step), generatorLoss: 2 + Math.sin(step / 3) })
    expect(names(watched(600, swinging))).toEqual(['oscillation'])
  })

  /** Looks at the samples every twelve steps of 94. */
  const looked = (looks: readonly { diversity: number; classEntropy?: number }[], every = 12) => {
    const stability = new Stability()
    for (const [index, look] of looks.entries()) stability.inspected((index + 1) * every, look, 94)
    return stability
  }
  const begins = [0.147, 0.133, 0.158, 0.213, 0.28, 0.345, 0.425, 0.481, 0.515, 0.569, 0.614] // of `--model gan`, seed 2
  const classes = [0, 0, 0, 0, 0.04, 0, 0.21, 0.58, 0.84, 0.81, 0.86]
  const healthy = begins.map((diversity, index) => ({ diversity, classEntropy: classes[index] ?? 0 }))

  it('tell samples that are all alike, and not those of a generator that has just begun', () => {
    const article = [0.181, 0.178, 0.168, 0.157, 0.151, 0.144, 0.139] // of `--recipe article`, seed 1
    const ill = looked(article.map((diversity, index) => ({ diversity, classEntropy: index % 3 === 2 ? 0.3 : 0 })))
    expect(ill.alarms).toMatchObject([{ illness: 'mode-collapse', since: 12 }])
    expect(ill.alarms[0]?.reason).toContain('35 %')
    expect(looked(healthy).alarms).toEqual([])
    const often = begins.slice(0, 3).flatMap((diversity) => Array(12).fill({ diversity })) // a look at each step
    expect(looked(often, 1).alarms).toEqual([])
  })

  it('tell a fall to less than half of the variety that there was, of pixels or of classes, and its end', () => {
    const more = (count: number, diversity: number, classEntropy: number) =>
      Array.from({ length: count }, () => ({ diversity, classEntropy }))
    const pixels = [...healthy, ...more(7, 0.25, 0.85)]
    expect(names(looked(pixels))).toEqual(['mode-collapse'])
    expect(names(looked([...healthy, ...more(7, 0.6, 0.4)]))).toEqual(['mode-collapse'])
    expect(looked([...healthy, ...more(7, 0.4, 0.6)]).alarms).toEqual([])
    expect(looked([...pixels, ...more(2, 0.6, 0.85)]).alarms).toEqual([])
  })

  it('tell latent dimensions that are not used; the samples of a VAE may be alike', () => {
    const stability = new Stability()
    for (const step of [100, 200]) stability.inspected(step, { diversity: 0.1, activeShare: 0 }, 100)
    expect(names(stability)).toEqual(['posterior-collapse'])
    stability.inspected(300, { diversity: 0.1, activeShare: 0.5 }, 100)
    for (let step = 400; step < 1200; step += 100) stability.inspected(step, { diversity: 0.1, activeShare: 0.5 }, 100)
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
        if (step % 20 === 0) stability.inspected(step, { diversity: step < 200 ? 1 : 0.01 }, 100)
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
