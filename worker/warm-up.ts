import { join } from 'node:path'
import { cacheFolder } from '../shared/core/cache-folder.ts'
import { systemClock } from '../shared/core/clock.ts'
import { limits } from '../shared/core/limits.ts'
import { makeSchedule } from '../shared/core/schedule.ts'
import { ChunkCache } from '../shared/dataset/chunk-cache.ts'
import type { Backend } from './backend/backend.ts'
import type { BackendName } from './backend/open-backend.ts'
import { openSampleStore } from './data/sample-store.ts'
import { hostWindows } from './host-reduction.ts'
import { copyRoom } from './host-state.ts'
import { makeModel } from './model/make-model.ts'
import { stageWorkshop } from './pipeline/stage-workshop.ts'
import { CheckpointSender } from './step/checkpoint-sender.ts'
import { sharedThreads } from './step/crew.ts'
import { ModelState } from './step/model-state.ts'
import { openMates } from './step/open-mates.ts'
import { partsOf, scratchBytesOf } from './step/state-room.ts'
import { Trainer } from './step/trainer.ts'
import { traceGarbageCollection } from './trace/garbage-collection.ts'
import { SharedTrace } from './trace/trace.ts'
import type { WarmUp } from './workshop.ts'

/** Model, memory and data of a worker, beside the run that it is going to join. */
export function warmUpWith(backend: Backend, name: BackendName, threads: number, warn: (line: string) => void): WarmUp {
  return async (welcome, link, blobs) => {
    const { config, manifest, image } = welcome
    if (backend.useMath(config.math) !== config.math)
      warn(`--math ${config.math}: this processor has no AMX, so products stay in float32, which is faster here`)
    const clock = systemClock
    const model = makeModel(config, image)
    const cache = new ChunkCache(join(cacheFolder(), 'chunks'), limits.chunkCacheBytes)
    const source = openSampleStore(manifest, cache, (sha256) => blobs.fetch(sha256))
    const schedule = makeSchedule(config, manifest.sampleCount)
    const { sampleBytes, sampleCount, labels } = manifest
    const samples = { sampleBytes, sampleCount, hasLabels: labels.length > 0 }
    const trace = config.traceSteps > 0 ? new SharedTrace(config.traceSteps) : null
    if (trace) {
      link.useTrace(trace.memory)
      traceGarbageCollection(trace.compute)
    }
    const sender = new CheckpointSender(model.spec, (message, bytes) => link.send(message, bytes))
    const common = { welcome, backend, schedule, sender, blobs, threads, trace }
    if (config.pipelineStages > 1) return stageWorkshop({ ...common, model, source }, 0)
    const { compute } = sharedThreads(threads)
    const parts = partsOf(config, compute)
    const state = new ModelState(model.spec, scratchBytesOf(model, config.batchSize), parts)
    state.compress(config)
    if (backend.productRows) state.factorize(config.batchSize, compute)
    const mates = await openMates({ config, model, state, samples, backend: name, threads, parts })
    const trainer = new Trainer(config, model, state, backend, source, schedule, clock, trace?.compute, mates)
    const close = async () => mates?.crew.close()
    const windows = hostWindows(backend.mapping ?? null, state.arena)
    const copies = copyRoom(state, trainer.sharedNetwork, backend.mapping ?? null)
    return { ...common, state, windows, copies, trainer, clock, pipeline: null, close }
  }
}
