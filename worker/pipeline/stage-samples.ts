import { randomStream } from '../../shared/core/random.ts'
import { labelClasses, type ModelSpec } from '../../shared/model/spec.ts'
import type { PipelineGroup } from '../step/group.ts'
import { oneHot, rowsPerBlock } from '../step/images.ts'
import { drawNoise } from '../step/noise.ts'
import { mostRows, type StageStepParts } from './stage-step.ts'
import { forward } from './vae-stage.ts'

/** In place of a step, of parcels that belong to none. */
const noStep = 0xffffffff

/**
 * Images [count, pixels] in 0…1 that the stages with layers of the decoder make, one block of rows after the other, from the noise
 * that a plain run makes its samples from (worker/step/images.ts). The last stage gets them, the others null.
 */
export async function stageSamples(
  parts: StageStepParts & { readonly spec: ModelSpec },
  group: PipelineGroup,
  rank: number,
  count: number,
): Promise<Float32Array | null> {
  const { config, spec, stage, backend, bound, boundary } = parts
  const { ops } = backend
  const decoder = stage.spec.networks.find(({ name }) => name === 'decoder')
  const whole = spec.networks.find(({ name }) => name === 'decoder')
  if (group.place.replica > 0 || !decoder) return null
  const begins = decoder.layers[0]?.name === whole?.layers[0]?.name
  const { latentSize } = spec
  const noise = begins ? noiseOf(parts, count) : null
  const block = mostRows(config)
  const images: Float32Array[] = []
  for (let start = 0, number = 0; start < count; start += block, number++) {
    const rows = Math.min(block, count - start)
    const classes = Array.from({ length: rows }, (_, row) => ((start + row) % rowsPerBlock) % labelClasses)
    const x = noise
      ? noise.subarray(start * latentSize, (start + rows) * latentSize)
      : await boundary.takeInput(group, rank, noStep, number, rows)
    const decoding = { ...stage, spec: { ...stage.spec, networks: [decoder] }, first: begins }
    const y = await backend.compute(() => {
      const labels = spec.conditional ? ops.input(oneHot(classes), [rows, labelClasses]) : null
      const values = ops.input(x, [rows, x.length / rows])
      const { y } = forward(ops, decoding, bound.tensors, { x: values, noise: null, labels, rows })
      return stage.outputSize === null ? ops.sigmoid(y) : y
    })
    if (stage.outputSize === null) images.push(y)
    else await boundary.giveOutput(group, rank, noStep, number, y)
  }
  if (stage.outputSize !== null) return null
  const all = new Float32Array(images.reduce((sum, { length }) => sum + length, 0))
  let place = 0
  for (const some of images) {
    all.set(some, place)
    place += some.length
  }
  return all
}

/** The latent vectors of `generateImages`, block by block of it. */
function noiseOf({ config, spec, state }: StageStepParts & { readonly spec: ModelSpec }, count: number): Float32Array {
  const { latentSize, noise: distribution } = spec
  const noise = new Float32Array(count * latentSize)
  for (let start = 0; start < count; start += rowsPerBlock) {
    const rows = Math.min(rowsPerBlock, count - start)
    const key = { seed: config.seed, stream: randomStream.fixedNoise, step: 0, lane: start / rowsPerBlock }
    drawNoise(state, distribution, 0, rows, latentSize, key)
    noise.set(state.floats(state.scratch, rows * latentSize), start * latentSize)
  }
  return noise
}
