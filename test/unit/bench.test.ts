import { describe, expect, it } from 'vitest'
import { plotBandwidth } from '../../cli/bench/plot.ts'
import { alternate } from '../../cli/bench/rounds.ts'
import { bucketSizes, sizeName } from '../../cli/bench/sizes.ts'
import { median, quantile, spreadOf } from '../../cli/bench/spread.ts'
import { comparedSteps } from '../../cli/bench/step-comparison.ts'
import { figuresOf } from '../../cli/bench/step-figures.ts'
import { fillPattern, firstWrong } from '../../cli/bench/test-pattern.ts'

const elements = 10_000

/** What an all-reduce without a fault gives. */
function summed(worldSize: number, round: number): Float32Array {
  const sum = new Float32Array(elements)
  const part = new Float32Array(elements)
  for (let rank = 0; rank < worldSize; rank++) {
    fillPattern(part, rank, round)
    for (const [index, value] of part.entries()) sum[index] = (sum[index] ?? 0) + value
  }
  return sum
}

describe('the pattern that is summed', () => {
  it.each([2, 3, 64])('is told to be right for %i ranks', (worldSize) => {
    for (const round of [0, 1, 8]) expect(firstWrong(summed(worldSize, round), worldSize, round)).toBeNull()
  })

  it('shows one wrong element, a chunk in the place of another, a sum of the round before, and no sum at all', () => {
    const oneOff = summed(3, 0)
    oneOff[7001] = 1
    expect(firstWrong(oneOff, 3, 0)).toMatch(/^element 7001 is 1 instead of \d+$/)
    const moved = summed(3, 0)
    moved.copyWithin(0, 4096, 8192)
    expect(firstWrong(moved, 3, 0)).toMatch(/^element 0 is/)
    expect(firstWrong(summed(3, 0), 3, 1)).toMatch(/^element 0 is/)
    const alone = new Float32Array(elements)
    fillPattern(alone, 1, 0)
    expect(firstWrong(alone, 2, 0)).toMatch(/^element 0 is/)
  })
})

describe('sizes', () => {
  it('are bytes, with K, M and G for powers of 1024', () => {
    expect(bucketSizes('4,4096,64K,44M', 2)).toEqual([4, 4096, 65_536, 46_137_344])
    for (const [bytes, name] of [
      [4, '4'],
      [4096, '4K'],
      [46_137_344, '44M'],
      [1 << 30, '1G'],
    ] as const)
      expect(sizeName(bytes)).toBe(name)
  })

  it('go from 4 bytes as far as the memory reaches', () => {
    expect(bucketSizes(undefined, 2)[0]).toBe(4)
    expect(Math.max(...bucketSizes(undefined, 64))).toBeLessThanOrEqual(256 << 20)
  })
})

/** A line of metrics.jsonl. */
const line = (ms: number, more = {}) => ({
  ...{ time: new Date(1_000_000 + ms).toISOString(), images: 100, seconds: 0.08, allReduceSeconds: 0.02 },
  ...more,
})

describe('figures', () => {
  it('of repeated measurements', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
    expect(quantile([...Array(200).keys()], 0.99)).toBe(197)
    expect(spreadOf([3, 1, 2])).toEqual({ min: 1, median: 2, max: 3 })
  })

  it('of steps leave out the first line, which begins the time', () => {
    const figures = figuresOf([line(0, { seconds: 9 }), line(100), line(200), line(300)])
    expect(figures).toEqual({
      ...{ steps: 3, seconds: 0.3, imagesPerSecond: 1000, iterationMs: 80, allReduceMs: 20 },
      phaseMs: { allReduce: 20, rest: 60, betweenSteps: 20 },
    })
    expect(() => figuresOf([line(0)])).toThrow('write a larger --seconds')
  })

  it('of steps show the parts that the lines name', () => {
    const phaseSeconds = { forward: 0.01, update: 0.05 }
    expect(figuresOf([line(0), line(100, { phaseSeconds }), line(200, { phaseSeconds })]).phaseMs).toEqual({
      ...{ forward: 10, update: 50, betweenSteps: 20 },
    })
  })
})

it('unlike trainings are not compared', () => {
  const measured = figuresOf([line(0), line(100)])
  const about = { model: 'vae', math: 'fp32', backend: 'b', reproducible: false, worldSize: 2, globalBatch: 128 }
  const compare = (peer: object) =>
    comparedSteps([{ leftFirst: true, ours: { ...about, ...measured }, peer: [{ imagesPerSecond: 500, ...peer }] }])
  expect(compare({}).ratio).toEqual({ min: 2, median: 2, max: 2 })
  expect(() => compare({ model: 'gan' })).toThrow('the peer measured model gan, not vae; let both do the same')
  expect(() => compare({ math: 'bf16' })).toThrow('measured math bf16, not fp32')
  expect(() => compare({ globalBatch: 64 })).toThrow('measured globalBatch 64, not 128')
  expect(() => compare({ imagesPerSecond: undefined })).toThrow('says no imagesPerSecond')
})

it('rounds begin with the one and the other in turn', async () => {
  const order: string[] = []
  const measure = (name: string) => () => Promise.resolve(order.push(name))
  const rounds = await alternate(3, measure('left'), measure('right'), () => {})
  expect(order).toEqual(['left', 'right', 'right', 'left', 'left', 'right'])
  expect(rounds.map(({ left, right }) => [left, right])).toEqual([
    [1, 2],
    [4, 3],
    [5, 6],
  ])
})

it('the picture has a curve for each line, and survives what has no bandwidth', () => {
  const points = [4, 4096, 1 << 20].map((bytes) => ({ bytes, busbwGBps: bytes / 1e6 }))
  const svg = plotBandwidth([
    { name: 'ours', points },
    { name: 'a <peer>', points: [{ bytes: 4, busbwGBps: 0 }, ...points.slice(1)] },
  ])
  expect(svg.match(/<polyline/g)).toHaveLength(2)
  expect(svg.match(/<circle/g)).toHaveLength(5)
  expect(svg).toContain('a &lt;peer>')
  expect(svg).not.toMatch(/NaN|Infinity/)
  expect(plotBandwidth([{ name: 'one', points: points.slice(0, 1) }])).not.toMatch(/NaN|Infinity/)
  expect(plotBandwidth([])).not.toMatch(/NaN|Infinity/)
})
