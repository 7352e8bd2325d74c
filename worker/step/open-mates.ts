import type { RunConfig } from '../../shared/core/config.ts'
import type { BackendName } from '../backend/open-backend.ts'
import type { Model } from '../model/model.ts'
import { Crew, sharedThreads } from './crew.ts'
import type { ModelState } from './model-state.ts'
import type { Mates } from './rank-gradients.ts'
import { SharedRows } from './shared-rows.ts'
import { ownBytesOf } from './state-room.ts'

export interface MatesOptions {
  readonly config: RunConfig
  readonly model: Model
  readonly state: ModelState
  readonly samples: { readonly sampleBytes: number; readonly sampleCount: number; readonly hasLabels: boolean }
  readonly backend: BackendName
  /** Of the whole worker. */
  readonly threads: number
  readonly parts: number
}

/** Starts the threads that compute beside the main thread; null where it has no others. */
export async function openMates({ config, model, state, samples, backend, threads, parts }: MatesOptions) {
  const { compute, operations } = sharedThreads(threads)
  if (compute === 1) return null
  const { batchSize } = config
  const { sampleBytes } = samples
  const region = (bytes: number) => state.arena.allocate(bytes)
  const place = {
    ...samples,
    image: model.spec.image,
    rows: region(batchSize * sampleBytes),
    labels: region(batchSize),
    factors: state.factors,
  }
  const own = Array.from({ length: compute - 1 }, () => region(ownBytesOf(model, batchSize, sampleBytes)))
  const { memory } = state
  const crew = await Crew.start({ ...place, threads: compute, backend, operations, config, memory, parts }, own)
  return { crew, rows: new SharedRows(state, place) } satisfies Mates
}
