import { assert } from '../../shared/core/errors.ts'
import { randomStream } from '../../shared/core/random.ts'
import type { Backend, BoundParameters } from '../backend/backend.ts'
import type { Model } from '../model/model.ts'
import type { ModelState } from './model-state.ts'

/** Images [count, pixels] in 0…1; the noise is a function of the seed alone. */
export async function generateImages(
  model: Model,
  state: ModelState,
  backend: Backend,
  bound: BoundParameters,
  count: number,
  seed: number,
): Promise<Float32Array> {
  const { latentSize } = model.spec
  const blocks: Float32Array[] = []
  const rowsPerBlock = 100
  assert(rowsPerBlock * latentSize * 4 <= state.scratchBytes, 'noise fits its region')
  for (let start = 0; start < count; start += rowsPerBlock) {
    const rows = Math.min(rowsPerBlock, count - start)
    state.kernel.philoxNormal(state.scratch, rows * latentSize, {
      seed,
      stream: randomStream.fixedNoise,
      step: 0,
      lane: start / rowsPerBlock,
    })
    const noise = state.floats(state.scratch, rows * latentSize).slice()
    blocks.push(
      await backend.compute(() =>
        model.generate(backend.ops, bound.tensors, backend.ops.input(noise, [rows, latentSize])),
      ),
    )
  }
  const images = new Float32Array(blocks.reduce((sum, block) => sum + block.length, 0))
  let position = 0
  for (const block of blocks) {
    images.set(block, position)
    position += block.length
  }
  return images
}
