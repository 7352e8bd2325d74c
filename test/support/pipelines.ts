import { mergeHalves, nodesOf } from '../../shared/collective/lanes.ts'
import { systemClock } from '../../shared/core/clock.ts'
import { type RunConfig, type RunOptions, resolveConfig } from '../../shared/core/config.ts'
import { dealtLanes, evenDeal, makeSchedule } from '../../shared/core/schedule.ts'
import { parametersOf } from '../../shared/model/parameters.ts'
import { placeOfRank, ranksOfStage } from '../../shared/pipeline/ranks.ts'
import { splitStages } from '../../shared/pipeline/stages.ts'
import { wholeGroupBucket } from '../../shared/protocol/frame.ts'
import type { Backend } from '../../worker/backend/backend.ts'
import { makeModel } from '../../worker/model/make-model.ts'
import type { Parcel } from '../../worker/pipeline/handover.ts'
import { PipelineTrainer } from '../../worker/pipeline/pipeline-trainer.ts'
import type { Group } from '../../worker/step/group.ts'
import { initializeWeights } from '../../worker/step/initial-weights.ts'
import { ModelState } from '../../worker/step/model-state.ts'
import { partsOf } from '../../worker/step/state-room.ts'
import type { SampleSource } from '../../worker/step/step-inputs.ts'
import { imageOf } from './training.ts'

interface StageRank {
  readonly state: ModelState
  readonly trainer: PipelineTrainer
  readonly group: Group
}

/** All ranks of a group of pipelines in one process. */
export function makePipelines(
  backend: Backend,
  options: RunOptions & { pipelineStages: number; maxWorkers: number },
  source: SampleSource,
): { config: RunConfig; ranks: readonly StageRank[] } {
  const config = resolveConfig({ steps: 10, batchSize: 32, ...options })
  const { pipelineStages: stages, maxWorkers: worldSize } = config
  const model = makeModel(config, imageOf(source.sampleBytes))
  const split = splitStages(model.spec, stages, config.discriminatorUpdates)
  const positions = new Map(model.spec.networks.flatMap(parametersOf).map(({ name }, place) => [name, place]))
  const states = Array.from({ length: worldSize }, (_, rank) => {
    const stage = split[rank % stages]
    if (!stage) throw new Error('a rank has a stage')
    const state = new ModelState(stage.spec, 1 << 20, partsOf(config, 1))
    initializeWeights(state, config.seed, config.initializer, positions)
    return { stage, state }
  })
  const groups = localPipelines(
    states.map(({ state }) => state),
    config,
  )
  const ranks = states.map(({ stage, state }, rank): StageRank => {
    const trainer = new PipelineTrainer({
      ...{ config, spec: model.spec, stage, number: rank % stages, state, backend, source },
      ...{ schedule: makeSchedule(config, source.sampleCount), clock: systemClock },
    })
    return { state, trainer, group: groups[rank] as Group }
  })
  return { config, ranks }
}

/** Reductions are done when the last rank has come to them, parcels when both ends have. */
function localPipelines(states: readonly ModelState[], config: RunConfig): Group[] {
  const { pipelineStages: stages, reproducible, lanes } = config
  const meetings = new Map<string, Meeting>()
  const meet = (key: string) => {
    const meeting = meetings.get(key) ?? meetingOf()
    meetings.set(key, meeting)
    return meeting
  }
  const sumUp = (
    ranks: readonly number[],
    offsets: ReadonlyMap<number, readonly number[]>,
    count: number,
    tree: boolean,
  ) => {
    const nodes = ranks.flatMap((_, replica) => {
      const { first, last } = dealtLanes(evenDeal(ranks.length, lanes), replica)
      return tree ? nodesOf(first, last) : [{ first: replica, lanes: 0 }]
    })
    const parts = ranks.flatMap((rank) =>
      (offsets.get(rank) ?? []).map((offset) => Float32Array.from(states[rank]?.floats(offset, count) ?? [])),
    )
    const add = (into: Float32Array | undefined, from: Float32Array | undefined) => {
      for (let index = 0; index < count; index++) if (into) into[index] = (into[index] ?? 0) + (from?.[index] ?? 0)
    }
    const stack: { node: { first: number; lanes: number }; values: Float32Array }[] = []
    for (const [index, node] of nodes.entries()) {
      stack.push({ node, values: parts[index] ?? new Float32Array(count) })
      if (!tree) continue
      const above = stack.map((each) => each.node)
      mergeHalves(above, (into, from) => add(stack[into]?.values, stack[from]?.values))
      stack.splice(above.length)
      for (const [place, each] of above.entries())
        stack[place] = { node: each, values: stack[place]?.values ?? new Float32Array(0) }
    }
    for (const { values } of stack.slice(1)) add(stack[0]?.values, values)
    for (const rank of ranks) states[rank]?.floats(offsets.get(rank)?.[0] ?? 0, count).set(stack[0]?.values ?? [])
  }
  return states.map((state, rank) => {
    const place = placeOfRank(rank, states.length, stages)
    const all = states.map((_, each) => each)
    const keyOf = (from: number, to: number, { kind, step, microBatch }: Parcel) =>
      `${from}-${to}/${kind}/${step}/${microBatch}`
    const parcels = {
      async give(to: number, parcel: Parcel) {
        meet(keyOf(rank, to, parcel)).bring(rank, state.floats(parcel.offset, parcel.count).slice())
        return parcel.count * 4
      },
      async take(from: number, parcel: Parcel) {
        const key = keyOf(from, rank, parcel)
        const values = (await meet(key).once(1)).get(from)
        meetings.delete(key)
        state.floats(parcel.offset, parcel.count).set(values ?? [])
        return parcel.count * 4
      },
    }
    return {
      ...{
        generation: 1,
        rank,
        worldSize: states.length,
        deal: evenDeal(states.length / stages, lanes),
        host: null,
        settle: () => {},
      },
      pipeline: { place, ...parcels },
      async allReduce(step, bucket, offsets, count) {
        const whole = bucket >= wholeGroupBucket
        const ranks = whole ? all : ranksOfStage(place)
        const meeting = meet(`${step}/${bucket}/${whole ? '' : place.stage}`)
        meeting.bring(rank, Float32Array.from(offsets))
        const found = await meeting.once(ranks.length)
        if (meeting.claim())
          sumUp(ranks, new Map([...found].map(([each, places]) => [each, [...places]])), count, reproducible && !whole)
        return count * 4
      },
    }
  })
}

interface Meeting {
  bring(rank: number, values: Float32Array): void
  once(count: number): Promise<ReadonlyMap<number, Float32Array>>
  /** True for the first that asks. */
  claim(): boolean
}

function meetingOf(): Meeting {
  const brought = new Map<number, Float32Array>()
  const waiting: (() => void)[] = []
  let claimed = false
  return {
    bring(rank, values) {
      brought.set(rank, values)
      for (const wake of waiting.splice(0)) wake()
    },
    async once(count) {
      while (brought.size < count) await new Promise<void>((resolve) => waiting.push(resolve))
      return brought
    },
    claim() {
      const first = !claimed
      claimed = true
      return first
    },
  }
}
