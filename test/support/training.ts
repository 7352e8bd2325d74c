import { expect } from 'vitest'
import { type LaneNode, mergeHalves, nodesOf } from '../../shared/collective/lanes.ts'
import { systemClock } from '../../shared/core/clock.ts'
import { type RunConfig, type RunOptions, resolveConfig } from '../../shared/core/config.ts'
import type { ImageShape } from '../../shared/core/image-grid.ts'
import { dealtLanes, evenDeal, type LaneDeal, makeSchedule } from '../../shared/core/schedule.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { makeModel } from '../../worker/model/make-model.ts'
import type { Group } from '../../worker/step/group.ts'
import { initializeWeights } from '../../worker/step/initial-weights.ts'
import { ModelState } from '../../worker/step/model-state.ts'
import { openMates } from '../../worker/step/open-mates.ts'
import { partsOf } from '../../worker/step/state-room.ts'
import type { SampleSource } from '../../worker/step/step-inputs.ts'
import { Trainer } from '../../worker/step/trainer.ts'
import type { Votes } from '../../worker/step/votes.ts'

/** Small random images, so that a step takes milliseconds. */
export function tinySource(sampleCount: number, sampleBytes: number): SampleSource {
  const row = (id: number) =>
    Uint8Array.from({ length: sampleBytes }, (_, index) => (Math.imul(id + 1, 2654435761) + index * 97) >>> 24)
  return {
    sampleCount,
    sampleBytes,
    rows: (ids) => Promise.resolve(ids.map(row)),
    labels: (ids) => Promise.resolve(Uint8Array.from(ids, (id) => id % 10)),
  }
}

/** A square of so many grey pixels. */
export function imageOf(pixels: number): ImageShape {
  const side = Math.sqrt(pixels)
  return { height: side, width: side, channels: 1 }
}

export function makeTrainer(
  backend: Backend,
  options: RunOptions,
  source: SampleSource,
): { config: RunConfig; state: ModelState; trainer: Trainer } {
  const config = resolveConfig({ steps: 10, batchSize: 32, maxWorkers: 4, ...options })
  const model = makeModel(config, imageOf(source.sampleBytes))
  const state = new ModelState(model.spec, 1 << 20, partsOf(config, 1))
  initializeWeights(state, config.seed, config.initializer)
  return {
    config,
    state,
    trainer: new Trainer(config, model, state, backend, source, makeSchedule(config, source.sampleCount), systemClock),
  }
}

/** The same with further threads, which come from dist. Their samples have to be small: they are put into place. */
export async function makeThreadedTrainer(
  backend: Backend,
  options: RunOptions,
  source: SampleSource,
  threads: number,
) {
  const config = resolveConfig({ steps: 10, batchSize: 32, maxWorkers: 4, ...options })
  const model = makeModel(config, imageOf(source.sampleBytes))
  const parts = partsOf(config, threads)
  const state = new ModelState(model.spec, 1 << 20, parts)
  initializeWeights(state, config.seed, config.initializer)
  const { sampleBytes, sampleCount } = source
  const samples = { sampleBytes, sampleCount, hasLabels: true }
  const mates = await openMates({ config, model, state, samples, backend: 'auto', threads, parts })
  const schedule = makeSchedule(config, sampleCount)
  const trainer = new Trainer(config, model, state, backend, source, schedule, systemClock, undefined, mates)
  return { state, trainer, close: async () => mates?.crew.close() }
}

export const alone: Group = {
  generation: 1,
  rank: 0,
  ...{ worldSize: 1, deal: evenDeal(1, 8) },
  allReduce: () => Promise.resolve(0),
  host: null,
  settle: () => {},
}
export const noVotes: Votes = {
  stop: false,
  pause: false,
  checkpoint: false,
  host: false,
  spare: false,
  factors: false,
  copies: false,
}

/** Ranks of one process: a reduction is done when the last rank has come to it. */
export function localGroups(states: readonly ModelState[], deal = evenDeal(states.length, 8)): Group[] {
  const waiting = new Map<string, { arrived: number; done: Promise<void>; finish(): void }>()
  return states.map((_, rank) => ({
    generation: 1,
    rank,
    ...{ worldSize: states.length, deal },
    host: null,
    settle: () => {},
    async allReduce(step, bucket, [offset = 0], count) {
      const key = `${step}/${bucket}`
      let finish: () => void = () => {}
      const entry = waiting.get(key) ?? {
        arrived: 0,
        done: new Promise<void>((resolve) => (finish = resolve)),
        finish: () => finish(),
      }
      waiting.set(key, entry)
      entry.arrived++
      if (entry.arrived === states.length) {
        const views = states.map((state) => state.floats(offset, count))
        const sum = Float32Array.from(views[0] ?? [])
        for (const view of views.slice(1))
          for (let index = 0; index < count; index++) sum[index] = (sum[index] ?? 0) + (view[index] ?? 0)
        for (const view of views) view.set(sum)
        entry.finish()
      }
      await entry.done
      return count * 4
    },
  }))
}

/** The same with `--reproducible`: the ranks' partial sums are added in the order of the lane tree. */
export function laneGroups(states: readonly ModelState[], deal: LaneDeal): Group[] {
  const waiting = new Map<string, { offsets: (readonly number[])[]; done: Promise<void>; finish(): void }>()
  const worldSize = states.length
  return states.map((_, rank) => ({
    ...{ generation: 1, rank, worldSize, deal, host: null, settle: () => {} },
    async allReduce(step, bucket, offsets, count) {
      const key = `${step}/${bucket}`
      let finish: () => void = () => {}
      const done = new Promise<void>((resolve) => (finish = resolve))
      const entry = waiting.get(key) ?? { offsets: [], done, finish }
      waiting.set(key, entry)
      entry.offsets[rank] = offsets
      if (entry.offsets.filter(Boolean).length === worldSize) {
        const stack: LaneNode[] = []
        const sums: Float32Array[] = []
        for (const [other, state] of states.entries()) {
          const { first, last } = dealtLanes(deal, other)
          for (const [part, node] of nodesOf(first, last).entries()) {
            stack.push(node)
            sums.push(state.floats(entry.offsets[other]?.[part] ?? 0, count).slice())
            mergeHalves(stack, (into, from) => {
              for (let index = 0; index < count; index++)
                (sums[into] as Float32Array)[index] = (sums[into]?.[index] ?? 0) + (sums[from]?.[index] ?? 0)
              sums.length = from
            })
          }
        }
        for (const [other, state] of states.entries())
          state.floats(entry.offsets[other]?.[0] ?? 0, count).set(sums[0] ?? new Float32Array(0))
        entry.finish()
      }
      await entry.done
      return count * 4
    },
  }))
}

/** Twenty steps on two backends, each from the state that the first has: losses and gradients agree as two correct roundings do. */
export async function expectSameSteps(
  one: Backend,
  other: Backend,
  options: RunOptions,
  source: SampleSource,
  gradients = 1e-3,
) {
  const steps = 20
  const [expected, found] = [one, other].map((engine) =>
    makeTrainer(engine, { ...options, batchSize: 8, steps }, source),
  )
  if (!expected || !found) throw new Error('two trainers')
  for (let step = 0; step < steps; step++) {
    for (const { offset, bytes } of expected.state.regions)
      found.state.bytes(offset, bytes).set(expected.state.bytes(offset, bytes))
    found.trainer.refresh()
    const [{ committed }, own] = [
      await expected.trainer.step(step, alone, noVotes),
      await found.trainer.step(step, alone, noVotes),
    ]
    for (const [name, value] of Object.entries(committed.scalars)) {
      const difference = Math.abs((own.committed.scalars[name] ?? Number.NaN) - value)
      expect(difference, `${name} of step ${step}`).toBeLessThan(1e-4 * Math.max(1, Math.abs(value)))
    }
    for (const [index, { name, gradients: parts }] of expected.state.slots.entries()) {
      const gradient = parts[0] ?? new Float32Array(0)
      const theirs = found.state.slots[index]?.gradients[0] ?? new Float32Array(0)
      const scale = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3)
      const apart = gradient.reduce((most, value, i) => Math.max(most, Math.abs(value - (theirs[i] ?? NaN))), 0)
      expect(apart / scale, `gradient of ${name} in step ${step}`).toBeLessThan(gradients)
    }
  }
}
