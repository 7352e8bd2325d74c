import { systemClock } from '../../shared/core/clock.ts'
import type { Schedule } from '../../shared/core/schedule.ts'
import { parametersOf } from '../../shared/model/parameters.ts'
import type { ModelSpec } from '../../shared/model/spec.ts'
import { splitStages } from '../../shared/pipeline/stages.ts'
import type { Welcome } from '../../shared/protocol/control.ts'
import type { Backend } from '../backend/backend.ts'
import type { BlobClient } from '../data/blob-client.ts'
import { hostWindows } from '../host-reduction.ts'
import type { Model } from '../model/model.ts'
import type { CheckpointSender } from '../step/checkpoint-sender.ts'
import { ModelState } from '../step/model-state.ts'
import { partsOf, scratchBytesOf } from '../step/state-room.ts'
import type { SampleSource } from '../step/step-inputs.ts'
import type { SharedTrace } from '../trace/trace.ts'
import type { Workshop } from '../workshop.ts'
import { PipelineTrainer } from './pipeline-trainer.ts'

/** What a worker has whatever its stage is. */
interface StageWorkshopParts {
  readonly welcome: Welcome
  readonly backend: Backend
  readonly model: Model
  readonly schedule: Schedule
  readonly source: SampleSource
  readonly sender: CheckpointSender
  readonly blobs: BlobClient
  readonly threads: number
  readonly trace: SharedTrace | null
}

/** A worker's seat in a pipeline. */
export interface StageSeat {
  readonly stage: number
  readonly stages: number
  /** The same worker at another stage; what it held of this one is gone. */
  at(stage: number): Workshop
  /** Back to the state before the last step that was committed. */
  undo(): void
  /** Room for the state of another stage, to be stored. */
  roomFor(stage: number): ModelState
  /** Of each parameter in the whole model. */
  readonly positions: ReadonlyMap<string, number>
  /** Floats in the shared memory that say nothing: ranks wait for each other by adding them. */
  readonly barrier: number
}

/** Model, memory and data of a worker that holds one stage, and no other layers. */
export function stageWorkshop(parts: StageWorkshopParts, number: number): Workshop {
  const { welcome, backend, model, schedule, source, trace, ...kept } = parts
  const { config } = welcome
  const stages = splitStages(model.spec, config.pipelineStages, config.discriminatorUpdates)
  const stage = stages[number] ?? stages[0]
  if (!stage) throw new RangeError('a pipeline has stages')
  const scratch = scratchBytesOf(model, config.batchSize)
  const state = new ModelState(stage.spec, scratch, partsOf(config, 1))
  const barrier = state.arena.allocate(barrierFloats * 4)
  const trainer = new PipelineTrainer({
    ...{ config, spec: model.spec, stage, number, state, backend, source, schedule },
    ...{ clock: systemClock, trace: trace?.compute },
  })
  const pipeline: StageSeat = {
    stage: number,
    stages: stages.length,
    at(other) {
      trainer.close()
      return stageWorkshop(parts, other)
    },
    undo: () => trainer.undo(),
    roomFor: (other) => new ModelState(stages[other]?.spec ?? stage.spec, 64),
    positions: positionsOf(model.spec),
    barrier,
  }
  const windows = hostWindows(backend.mapping ?? null, state.arena)
  const close = () => Promise.resolve()
  return {
    ...{ welcome, backend, state, windows, copies: null, schedule, trainer, ...kept, trace },
    clock: systemClock,
    pipeline,
    close,
  }
}

export const barrierFloats = 16

function positionsOf({ networks }: ModelSpec): ReadonlyMap<string, number> {
  return new Map(networks.flatMap(parametersOf).map(({ name }, position) => [name, position]))
}
