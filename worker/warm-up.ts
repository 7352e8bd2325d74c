import { join } from 'node:path'
import { maximumNodes } from '../shared/collective/lanes.ts'
import { cacheFolder } from '../shared/core/cache-folder.ts'
import { systemClock } from '../shared/core/clock.ts'
import { limits } from '../shared/core/limits.ts'
import { makeSchedule } from '../shared/core/schedule.ts'
import { ChunkCache } from '../shared/dataset/chunk-cache.ts'
import type { Backend } from './backend/backend.ts'
import { openSampleStore } from './data/sample-store.ts'
import type { WarmUp } from './group-run.ts'
import { makeModel } from './model/make-model.ts'
import { CheckpointSender } from './step/checkpoint-sender.ts'
import { ModelState } from './step/model-state.ts'
import { Trainer } from './step/trainer.ts'
import { traceGarbageCollection } from './trace/garbage-collection.ts'
import { SharedTrace } from './trace/trace.ts'

/** Model, memory and data of a worker, beside the run that it is going to join. */
export function warmUpWith(backend: Backend, threads: number): WarmUp {
  return (welcome, link, blobs) => {
    const { config, manifest } = welcome
    backend.useMath(config.math)
    const clock = systemClock
    const model = makeModel(config, manifest.sampleBytes)
    const scratchBytes = Math.max(config.batchSize, 100) * model.spec.latentSize * 4 + 65_536
    const state = new ModelState(model.spec, scratchBytes, config.reproducible ? maximumNodes(config.lanes) : 1)
    const cache = new ChunkCache(join(cacheFolder(), 'chunks'), limits.chunkCacheBytes)
    const source = openSampleStore(manifest, cache, (sha256) => blobs.fetch(sha256))
    const schedule = makeSchedule(config, manifest.sampleCount)
    const trace = config.traceSteps > 0 ? new SharedTrace(config.traceSteps) : null
    if (trace) {
      link.useTrace(trace.memory)
      traceGarbageCollection(trace.compute)
    }
    const trainer = new Trainer(config, model, state, backend, source, schedule, clock, trace?.compute)
    const sender = new CheckpointSender(model.spec, (message, bytes) => link.send(message, bytes))
    return { welcome, backend, state, schedule, trainer, sender, blobs, clock, threads, trace }
  }
}
