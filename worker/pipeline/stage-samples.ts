import type { GridKind } from '../../shared/core/grid-kind.ts'
import { joinFloats } from '../../shared/core/join-floats.ts'
import { averageOf, labelClasses } from '../../shared/model/spec.ts'
import { greyLevels } from '../model/gan.ts'
import { classOf, fixedLatents } from '../step/fixed-latents.ts'
import type { PipelineGroup } from '../step/group.ts'
import { oneHot } from '../step/images.ts'
import { forward } from './stage-forward.ts'
import { mostRows, type StageParts } from './stage-run.ts'

/** In place of a step, of parcels that belong to none: stages ahead may be at the next picture. */
const noStep = { samples: 0xffffffff, interpolation: 0xfffffffe } as const

/**
 * Images [count, pixels] in 0…1 that the stages with layers of the decoder or the generator make, one block of rows after the other, from the
 * latent vectors that a plain run makes its pictures from. The last stage gets them, the others null.
 */
export async function stageSamples(
  parts: StageParts,
  group: PipelineGroup,
  rank: number,
  picture: GridKind,
  count: number,
): Promise<Float32Array | null> {
  const { config, spec, stage, state, backend, bound, boundary } = parts
  const { ops } = backend
  const isGan = spec.family === 'gan'
  const [decoder, whole] = [stage.spec, spec].map(({ networks }) =>
    networks.find(({ name }) => name === (isGan ? 'generator' : 'decoder')),
  )
  const isLast = stage.outputSize === null
  if (group.place.replica > 0 || !(decoder || (isGan && isLast))) return null
  const begins = decoder !== undefined && decoder.layers[0]?.name === whole?.layers[0]?.name
  const shown =
    decoder && spec.averages.includes(decoder.name) ? { ...decoder, name: averageOf(decoder.name) } : decoder
  const { latentSize } = spec
  const latents = begins ? fixedLatents(state, spec, picture, count, config.seed) : null
  const block = mostRows(config)
  const images: Float32Array[] = []
  for (let start = 0, number = 0; start < count; start += block, number++) {
    const rows = Math.min(block, count - start)
    const classes = Array.from({ length: rows }, (_, row) => classOf(picture, start + row))
    const x = latents
      ? latents.subarray(start * latentSize, (start + rows) * latentSize)
      : await boundary.takeInput(group, rank, noStep[picture], number, rows)
    const decoding = { ...stage, spec: { ...stage.spec, networks: shown ? [shown] : [] }, first: begins }
    const y = await backend.compute(() => {
      const labels = spec.conditional ? ops.input(oneHot(classes), [rows, labelClasses]) : null
      const values = ops.input(x, [rows, x.length / rows])
      const y = shown ? forward(ops, decoding, bound.tensors, { x: values, noise: null, labels, rows }).y : values
      if (!isLast) return y
      return isGan ? greyLevels(ops, y, spec) : ops.sigmoid(y)
    })
    if (isLast) images.push(y)
    else await boundary.giveOutput(group, rank, noStep[picture], number, y)
  }
  return isLast ? joinFloats(images) : null
}
