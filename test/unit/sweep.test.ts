import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkObjective, goalOf, isEvaluated, runMetric } from '../../cli/sweep/objective.ts'
import type { TrialResult } from '../../cli/sweep/sweep.ts'
import { checkedSweep, readSweepFile } from '../../cli/sweep/sweep-file.ts'
import { sweepPlot } from '../../cli/sweep/sweep-plot.ts'
import { ranked, sweepTable } from '../../cli/sweep/sweep-table.ts'
import { inRange, trialsOf } from '../../cli/sweep/trials.ts'
import { resolveConfig } from '../../shared/core/config.ts'
import { temporaryFolder } from '../support/folder.ts'

const grid = { objective: 'vaeLoss', search: { 'learning-rate': [0.1, 0.2], beta: [1, 2, 3] } }
const random = {
  ...{ objective: 'vaeLoss', method: 'random', trials: 40, seed: 3 },
  search: {
    learningRate: { from: 1e-4, to: 1e-2, scale: 'log' },
    latentSize: { from: 2, to: 32, whole: true },
    noise: ['normal', 'uniform'],
  },
}
const parse = (value: unknown) => checkedSweep('s.yaml', value)

describe("a sweep's file", () => {
  it.each([
    [[], /^s.yaml: write objective, options and search/],
    [null, /^s.yaml: write objective/],
    [{ search: grid.search }, /write objective as well/],
    [{ objective: 'fid' }, /write search as well/],
    [{ ...grid, search: {} }, /search: write at least one option/],
    [{ ...grid, serch: {} }, /unknown serch; did you mean search\?/],
    [{ ...grid, options: { 'learning-rte': 1 } }, /options: unknown option learning-rte; did you mean learning-rate\?/],
    [{ ...grid, options: { 'run-dir': 'x' } }, /options: unknown option run-dir/],
    [{ ...grid, options: { beta: 1 } }, /beta stands in options and in search/],
    [{ ...grid, options: { epochs: 'two' } }, /epochs: two; write a number/],
    [{ ...grid, options: { flip: 'yes' } }, /flip: yes; write true or false/],
    [{ ...grid, search: { beta: 1 } }, /search.beta: write a list of values, or from, to and scale/],
    [{ ...grid, search: { beta: [] } }, /search.beta/],
    [{ ...grid, search: { beta: [1, 1] } }, /beta has a value twice/],
    [{ ...grid, search: { beta: { from: 1, to: 2 } } }, /beta: a grid needs a list of values/],
    [{ ...grid, trials: 3 }, /trials: a grid has as many as its values give/],
    [{ ...random, trials: undefined }, /method random needs the number of its trials/],
    [{ ...random, trials: 100_000 }, /trials/],
    [{ ...random, search: { beta: { from: 2, to: 1 } } }, /write the smaller number as from/],
    [{ ...random, search: { beta: { from: 0, to: 1, scale: 'log' } } }, /scale log needs numbers above 0/],
    [{ ...random, search: { epochs: { from: 1.5, to: 4, whole: true } } }, /write whole numbers/],
    [{ ...random, search: { noise: { from: 1, to: 2 } } }, /noise is no number; write a list/],
    [{ ...grid, method: 'bayes' }, /method/],
  ])('%j is refused in one line', (value, message) => {
    expect(() => parse(value)).toThrow(message)
    expect(() => parse(value)).toThrow(/^[^\n]+$/)
  })

  it('that is missing or no YAML is refused', () => {
    const path = join(temporaryFolder(), 'bad.yaml')
    expect(() => readSweepFile(path)).toThrow(/bad.yaml: ENOENT/)
    writeFileSync(path, 'a: [1')
    expect(() => readSweepFile(path)).toThrow(/bad.yaml: /)
  })

  it('may name options as flags or as the config does', () => {
    expect(Object.keys(parse(random).search)).toEqual(['learning-rate', 'latent-size', 'noise'])
  })
})

describe('the trials', () => {
  it('of a grid are all of it, the last option fastest', () => {
    const trials = trialsOf(parse(grid), 10)
    expect(trials?.map((values) => Object.values(values))).toEqual(
      [0.1, 0.2].flatMap((rate) => [1, 2, 3].map((beta) => [rate, beta])),
    )
    expect(trialsOf(parse(grid), 5)).toBeNull()
  })

  it('of a random search are different, in their ranges, and the first of a longer one', () => {
    const trials = trialsOf(parse(random), 1000) ?? []
    expect(new Set(trials.map((values) => JSON.stringify(values))).size).toBe(40)
    for (const { 'learning-rate': rate, 'latent-size': size, noise } of trials) {
      expect(rate).toBeGreaterThanOrEqual(1e-4)
      expect(rate).toBeLessThanOrEqual(1e-2)
      expect(Number.isInteger(size)).toBe(true)
      expect(['normal', 'uniform']).toContain(noise)
    }
    expect(trialsOf(parse({ ...random, trials: 7 }), 1000)).toEqual(trials.slice(0, 7))
    expect(trialsOf(parse({ ...random, seed: 4 }), 1000)).not.toEqual(trials)
    // Half of a range by its logarithm: about half of the trials.
    const below = trials.filter(({ 'learning-rate': rate }) => Number(rate) < 1e-3).length
    expect(below).toBeGreaterThan(10)
    expect(below).toBeLessThan(30)
  })

  it('of a random search over lists are all of the grid at last, and not one more', () => {
    const whole = trialsOf(parse({ ...grid, method: 'random', trials: 6 }), 1000) ?? []
    expect(new Set(whole.map((values) => JSON.stringify(values))).size).toBe(6)
    expect(trialsOf(parse({ ...grid, method: 'random', trials: 7 }), 1000)).toBeNull()
    const few = { ...random, search: { epochs: { from: 1, to: 3, whole: true } } }
    expect(trialsOf(parse({ ...few, trials: 3 }), 1000)).toHaveLength(3)
    expect(trialsOf(parse({ ...few, trials: 4 }), 1000)).toBeNull()
  })

  it('never leave a range', () => {
    const fraction = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(fraction, fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 50 }), (at, from, length) => {
        for (const scale of ['linear', 'log'] as const)
          for (const whole of [true, false]) {
            const value = inRange({ from, to: from + length, scale, whole }, at)
            if (value < from || value > from + length || (whole && !Number.isInteger(value))) return false
          }
        return true
      }),
    )
  })
})

describe('the objective', () => {
  it('knows which way is better', () => {
    expect([goalOf('fid', null), goalOf('coverage', null), goalOf('vaeLoss', null)]).toEqual([
      'minimize',
      'maximize',
      'minimize',
    ])
    expect(goalOf('fid', 'maximize')).toBe('maximize')
    expect([isEvaluated('negativeElbo'), isEvaluated('vaeLoss'), isEvaluated('toString')]).toEqual([true, false, false])
  })

  it('is refused where the model has no such figure', () => {
    const { description } = resolveConfig({ model: 'gan' })
    expect(() => checkObjective('s.yaml', 'negativeElbo', description)).toThrow(/means nothing to model gan; write one/)
    checkObjective('s.yaml', 'fid', description)
  })

  it('of a run is the mean of its last steps', () => {
    const folder = temporaryFolder()
    const lines = Array.from({ length: 150 }, (_, index) => ({ step: index + 1, phaseSeconds: {}, vaeLoss: index }))
    writeFileSync(join(folder, 'metrics.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    expect(runMetric('s.yaml', 'vaeLoss', folder, null)).toBe((50 + 149) / 2)
    expect(() => runMetric('s.yaml', 'vaeLos', folder, null)).toThrow(/no such metric; write one of vaeLoss/)
    expect(() => runMetric('s.yaml', 'step', folder, null)).toThrow(/no such metric/)
    const skipped = Array.from({ length: 99 }, (_, index) => ({ step: 151 + index, skipped: true }))
    appendFileSync(join(folder, 'metrics.jsonl'), skipped.map((line) => `${JSON.stringify(line)}\n`).join(''))
    expect(runMetric('s.yaml', 'vaeLoss', folder, null)).toBe(149)
    appendFileSync(join(folder, 'metrics.jsonl'), '{"step":250,"skipped":true}\n')
    expect(runMetric('s.yaml', 'vaeLoss', folder, null)).toBeNull()
    const summary = { imagesPerSecond: 7, wallSeconds: 2 }
    expect(runMetric('s.yaml', 'imagesPerSecond', folder, summary)).toBe(7)
  })
})

describe('the end of a sweep', () => {
  const result = (trial: number, value: number | null, beta: number): TrialResult => ({
    ...{ trial, values: { beta, noise: '<a&b>' }, value, steps: 1, seconds: 1, runDir: '/r' },
    ...(value === null ? { status: 'failed', reason: 'no' } : { status: 'completed', reason: null }),
  })
  const results = [result(1, null, 1), result(2, 5, 2), result(3, 3, 3), result(4, null, 4)]

  it('ranks the best first, by the goal, and those without a value last', () => {
    expect(ranked(results, 'minimize').map(({ trial }) => trial)).toEqual([3, 2, 1, 4])
    expect(ranked(results, 'maximize').map(({ trial }) => trial)).toEqual([2, 3, 1, 4])
    const table = sweepTable('vaeLoss', results).trimEnd().split('\n')
    expect(table).toHaveLength(5)
    expect(table[1]).toContain('failed: no')
  })

  it('draws a panel for each option and a dot for each value, the best one red', () => {
    const search = { beta: [1, 2, 3, 4], noise: ['<a&b>'] }
    const picture = sweepPlot('vaeLoss', search, results, results[2] ?? null)
    expect(picture.match(/<circle/g)).toHaveLength(4)
    expect(picture.match(/#d62728/g)).toHaveLength(2)
    expect(picture).toContain('&lt;a&amp;b>')
    expect(picture).not.toContain('NaN')
    const places = [...picture.matchAll(/cy="([\d.]+)"/g)].map(([, y]) => Number(y))
    expect(places[0]).toBeLessThan(places[1] ?? 0) // 5 above 3
    expect(sweepPlot('vaeLoss', search, [], null)).not.toContain('NaN')
    const range = { from: 1, to: 4, scale: 'log', whole: false } as const
    expect(sweepPlot('vaeLoss', { beta: range }, results, null)).not.toContain('NaN')
  })
})
