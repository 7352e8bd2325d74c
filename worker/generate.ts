import type { RunConfig } from '../shared/core/config.ts'
import type { ImageShape } from '../shared/core/image-grid.ts'
import { type BackendName, openBackend } from './backend/open-backend.ts'
import { makeModel } from './model/make-model.ts'
import { restoreCheckpoint } from './step/checkpoint-files.ts'
import { generateImages } from './step/images.ts'
import { ModelState, scratchBytesOf } from './step/model-state.ts'

export interface GenerateRequest {
  readonly config: RunConfig
  readonly image: ImageShape
  /** The checkpoint's weights.safetensors. */
  readonly weights: Uint8Array
  readonly count: number
  readonly seed: number
  readonly backend: BackendName
  readonly threads: number
}

/** Images [count, pixels] in 0…1; the same noise for the same seed. */
export async function generateFromCheckpoint(request: GenerateRequest): Promise<Float32Array> {
  const { config, image, weights, count, seed, threads } = request
  const model = makeModel(config, image)
  const state = new ModelState(model.spec, scratchBytesOf(model, 1))
  restoreCheckpoint(state, weights, null, {})
  const backend = await openBackend(request.backend, threads)
  const bound = backend.bind(state.allSlots())
  try {
    return await generateImages(model, state, backend, bound, count, seed)
  } finally {
    bound.dispose()
  }
}
