import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveConfig } from '../../shared/core/config.ts'
import { parseDescription, specOf } from '../../shared/model/description.ts'
import { parametersOf } from '../../shared/model/parameters.ts'
import { registry } from '../../shared/model/registry.ts'
import { partition } from '../../shared/pipeline/partition.ts'
import { bubbleShare, mostOpen, type Operation, oneForwardOneBackward } from '../../shared/pipeline/schedule.ts'
import { splitStages } from '../../shared/pipeline/stages.ts'

describe('a row of costs, cut into spans', () => {
  /** All cuts, tried out. */
  const least = (
    costs: readonly number[],
    parts: number,
    weight: (part: number) => number,
    edge: (item: number) => number,
    [part, first] = [0, 0],
  ): number => {
    const own = (count: number) => {
      const edges = [first, first + count].filter((item) => item > 0 && item < first + costs.length)
      const around = edges.reduce((total, item) => total + edge(item), 0)
      return weight(part) * costs.slice(0, count).reduce((total, cost) => total + cost, 0) + around
    }
    if (part === parts - 1) return own(costs.length)
    const counts = Array.from({ length: costs.length - (parts - part) + 1 }, (_, index) => index + 1)
    return Math.min(
      ...counts.map((count) =>
        Math.max(own(count), least(costs.slice(count), parts, weight, edge, [part + 1, first + count])),
      ),
    )
  }

  it('has the smallest largest span that there is, and leaves nothing out', () => {
    const costs = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: 5 }), fc.boolean(), (row, wanted, last) => {
        const parts = Math.min(wanted, row.length)
        const weight = (part: number) => (last && part === parts - 1 ? 3 : 4)
        const edge = (item: number) => (last ? 0 : (item * 7) % 11)
        const spans = partition(row, parts, weight, edge)
        expect(spans.map(({ first }) => first)).toEqual([0, ...spans.slice(0, -1).map((span) => span.last)])
        expect(spans.at(-1)?.last).toBe(row.length)
        for (const { first, last: end } of spans) expect(end).toBeGreaterThan(first)
        const sums = spans.map(
          ({ first, last: end }, part) =>
            weight(part) * row.slice(first, end).reduce((a, b) => a + b, 0) +
            (first > 0 ? edge(first) : 0) +
            (end < row.length ? edge(end) : 0),
        )
        expect(Math.max(...sums)).toBe(least(row, parts, weight, edge))
      }),
    )
  })
})

describe('1F1B', () => {
  const sizes = fc.tuple(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 24 }))

  /** All stages take their operations as soon as they can, each for as long as it takes; when the last is done. */
  const play = (stages: number, microBatches: number, forward = 1, backward = 2) => {
    const plans = Array.from({ length: stages }, (_, stage) => oneForwardOneBackward(stage, stages, microBatches))
    const done = new Map<string, number>()
    const at = (stage: number, { kind, microBatch }: Operation) => done.get(`${stage}/${kind}/${microBatch}`)
    const next = plans.map(() => 0)
    const free = plans.map(() => 0)
    for (let moved = true; moved; ) {
      moved = false
      for (const [stage, plan] of plans.entries()) {
        const operation = plan[next[stage] ?? 0]
        if (!operation) continue
        const { kind, microBatch } = operation
        const from = kind === 'forward' ? stage - 1 : stage + 1
        const own = kind === 'backward' ? at(stage, { kind: 'forward', microBatch }) : 0
        const before = from < 0 || from >= stages ? 0 : at(from, operation)
        if (before === undefined || own === undefined) continue
        const start = Math.max(free[stage] ?? 0, before, own)
        free[stage] = start + (kind === 'forward' ? forward : backward)
        done.set(`${stage}/${kind}/${microBatch}`, free[stage] ?? 0)
        next[stage] = (next[stage] ?? 0) + 1
        moved = true
      }
    }
    return { end: Math.max(...free), finished: plans.every((plan, stage) => next[stage] === plan.length) }
  }

  it('takes every micro-batch forward, then back, in order, with no more open than there are stages left', () => {
    fc.assert(
      fc.property(sizes, ([stages, microBatches]) => {
        for (let stage = 0; stage < stages; stage++) {
          const plan = oneForwardOneBackward(stage, stages, microBatches)
          const order = Array.from({ length: microBatches }, (_, index) => index)
          for (const kind of ['forward', 'backward'] as const)
            expect(plan.filter((each) => each.kind === kind).map(({ microBatch }) => microBatch)).toEqual(order)
          let open = 0
          for (const { kind } of plan) {
            open += kind === 'forward' ? 1 : -1
            expect(open).toBeGreaterThanOrEqual(0)
            expect(open).toBeLessThanOrEqual(mostOpen(stage, stages))
          }
        }
      }),
    )
  })

  it('comes to its end, and waits for as long as the theory says', () => {
    fc.assert(
      fc.property(sizes, ([stages, microBatches]) => {
        const { end, finished } = play(stages, microBatches)
        expect(finished).toBe(true)
        const work = microBatches * 3
        expect((end - work) / end).toBeCloseTo(bubbleShare(stages, microBatches), 10)
      }),
    )
  })
})

describe('the stages of a model', () => {
  const image = { height: 28, width: 28, channels: 1 }
  const specOfModel = (model: string) => {
    const config = resolveConfig({ model })
    return specOf(config.description, config, image)
  }

  it.each(['vae', 'conv-vae', 'conditional-vae'])('have all parameters of a %s, each once, in order', (model) => {
    const spec = specOfModel(model)
    const all = spec.networks.flatMap(parametersOf)
    for (let stages = 1; stages <= 6; stages++) {
      const split = splitStages(spec, stages)
      expect(split).toHaveLength(stages)
      expect(split.flatMap((stage) => stage.spec.networks.flatMap(parametersOf))).toEqual(all)
      expect(split.filter(({ heads }) => heads)).toHaveLength(1)
      expect(split.filter(({ outputSize }) => outputSize === null)).toEqual([split.at(-1)])
      for (const [index, { outputSize }] of split.slice(0, -1).entries())
        expect(split[index + 1]?.inputShape.reduce((product, extent) => product * extent, 1)).toBe(outputSize)
    }
  })

  it.each([
    ['gan', 3],
    ['dcgan', 7],
    ['conditional-dcgan', 7],
  ])('have all parameters of a %s, each once, in order, and the discriminator whole', (model, most) => {
    const spec = specOfModel(model)
    const discriminator = spec.networks.find(({ name }) => name === 'discriminator')
    for (let stages = 1; stages <= most; stages++) {
      const split = splitStages(spec, stages, 5)
      expect(split.flatMap((stage) => stage.spec.networks.flatMap(parametersOf))).toEqual(
        spec.networks.flatMap(parametersOf),
      )
      expect(split.at(-1)?.spec.networks.at(-1)).toEqual(discriminator)
      expect(split.map(({ first }) => first)).toEqual(split.map((_, index) => index === 0))
      for (const [index, { outputSize }] of split.slice(0, -1).entries())
        expect(split[index + 1]?.inputShape.reduce((product, extent) => product * extent, 1)).toBe(outputSize)
    }
    expect(() => splitStages(spec, most + 1)).toThrow(`model ${model} can be cut into ${most} stages at most`)
  })

  it('of a GAN are about equally large too: its wide layer alone', () => {
    const names = splitStages(specOfModel('gan'), 3).map(({ spec }) =>
      spec.networks.flatMap(({ layers }) => layers.map(({ name }) => name)),
    )
    expect(names).toEqual([['dense0'], ['dense1'], ['dense0', 'dense1', 'dense2']])
    // Images cross the cut, not 12,544 hidden units.
    expect(splitStages(specOfModel('gan'), 2, 5).map(({ outputSize }) => outputSize)).toEqual([784, null])
  })

  it('are about equally large', () => {
    const split = splitStages(specOfModel('vae'), 2)
    expect(
      split.map(({ spec }) => spec.networks.map(({ name, layers }) => [name, layers.map((layer) => layer.name)])),
    ).toEqual([
      [['encoder', ['dense0', 'dense1', 'mean', 'logVariance']]],
      [['decoder', ['dense0', 'dense1', 'logits']]],
    ])
  })

  it('are no more than there are layers to cut between', () => {
    expect(() => splitStages(specOfModel('vae'), 7)).toThrow(
      '--pipeline-stages 7: model vae can be cut into 6 stages at most; write that or less',
    )
  })

  it('are of a chain of layers', () => {
    const networks = structuredClone(registry.vae?.networks ?? [])
    const [, decoder] = networks
    const last = decoder?.layers.at(-1)
    if (last) last.input = 'dense0'
    const description = parseDescription({ ...registry.vae, networks }, 'test')
    const spec = specOf(description, resolveConfig({ model: 'vae' }), image)
    expect(() => splitStages(spec, 2)).toThrow(/is no chain of layers/)
    const branching = { ...specOfModel('gan'), networks: structuredClone(specOfModel('gan').networks) }
    const [first] = branching.networks
    const end = first?.layers.at(-1)
    if (end) end.input = '<input>'
    expect(() => splitStages(branching, 2)).toThrow(/the generator of model gan is no chain of layers; leave it out/)
  })
})

describe('options of a pipeline', () => {
  it.each([
    [
      { model: 'classifier' },
      '--pipeline-stages 2 splits the layers of a VAE or a GAN; model classifier is none, so leave it out',
    ],
    [{ maxWorkers: 3 }, '--pipeline-stages 2: 3 workers make no whole number of pipelines; write 2 or 4 workers'],
    [{ maxWorkers: 1 }, '--pipeline-stages 2: 1 workers make no whole number of pipelines; write 2 workers'],
    [
      { compression: 'bf16' as const },
      '--pipeline-stages 2: gradients of a stage travel as they are; write --compression none',
    ],
    [{ prune: { decoder: 0.5 } }, '--pipeline-stages 2 and --prune exclude each other; leave one out'],
    [
      { algorithm: 'star' as const },
      '--pipeline-stages 2: --algorithm star is for workers that hold the same; write --algorithm auto',
    ],
    [{ inspectEvery: 5 }, '--pipeline-stages 2: no worker holds the whole model to look at; leave --inspect-every out'],
  ])('that make no sense are refused: %j', (options, message) => {
    expect(() => resolveConfig({ pipelineStages: 2, maxWorkers: 2, ...options })).toThrow(message)
  })

  it('are completed: workers for whole pipelines, four micro-batches for each stage', () => {
    expect(resolveConfig({ pipelineStages: 2, maxWorkers: 4, minWorkers: 1 })).toMatchObject({
      ...{ minWorkers: 2, accumulate: 8, lanes: 16 },
    })
    expect(resolveConfig({ pipelineStages: 4, maxWorkers: 4, minWorkers: 1, lanes: 8 })).toMatchObject({
      ...{ minWorkers: 4, accumulate: 8, lanes: 8 },
    })
    expect(resolveConfig({ maxWorkers: 4 })).toMatchObject({ minWorkers: 1, accumulate: 1, lanes: 8 })
  })
})
