import { createHash } from 'node:crypto'
import { basename, dirname, resolve } from 'node:path'
import { checkedName, usage } from '../../shared/core/config.ts'
import { checkParts } from '../../shared/core/prune-options.ts'
import { decodeSafetensors, encodeSafetensors } from '../../shared/core/safetensors.ts'
import { specOf } from '../../shared/model/description.ts'
import { cutTensor, keptUnits, withKeptUnits } from '../../shared/model/prune-units.ts'
import { RunFolder } from '../run-folder.ts'
import { CheckpointWriter, newestCheckpoint, readCheckpoint, stepName } from './checkpoint-store.ts'

export interface PrunedRun {
  /** Of the checkpoint. */
  readonly folder: string
  readonly parameters: { readonly before: number; readonly after: number }
}

/**
 * A new run in the folder `out` that holds the checkpoint of another one with fewer units in its dense layers: smaller tensors, moments
 * included, and the description that goes with them. `from`: a run, of which it takes the newest checkpoint, or a checkpoint of it.
 */
export function pruneRun(from: string, out: string, units: Readonly<Record<string, number>>): PrunedRun {
  const isCheckpoint = /^step-\d{8}$/.test(basename(resolve(from)))
  const { folder, file } = RunFolder.open(isCheckpoint ? dirname(dirname(resolve(from))) : resolve(from))
  const source = isCheckpoint ? readCheckpoint(from) : newestCheckpoint(folder.checkpoints, () => {})
  if (!source) throw usage(`${from} has no checkpoint; write a run that has, or the folder of a checkpoint`)
  const { manifest } = source
  checkParts('units', units, manifest.config.description)
  const weights = decodeSafetensors(source.weights).tensors
  const kept = keptUnits(manifest.model, weights, units)
  if (kept.size === 0)
    throw usage('--units: no unit of a hidden dense layer would go; write a larger part, or a model with such layers')
  const description = withKeptUnits(manifest.config.description, kept)
  const config = { ...manifest.config, description }
  const cut = (tensors: ReturnType<typeof decodeSafetensors>['tensors']) =>
    [...tensors].map(([name, tensor]) => ({ name, ...cutTensor(manifest.model, kept, name, tensor) }))
  const dtype = config.checkpointDtype === 'bf16' ? 'BF16' : 'F32'
  const smaller = cut(weights)
  const files = {
    'weights.safetensors': encodeSafetensors(smaller, undefined, dtype),
    'optimizer.safetensors': encodeSafetensors(cut(decodeSafetensors(source.optimizer).tensors), undefined, dtype),
  } as const
  const names = Object.keys(files) as (keyof typeof files)[]
  const runId = checkedName('out', basename(resolve(out)))
  const made = RunFolder.create(resolve(out), { ...file, runId, config })
  const writer = new CheckpointWriter(
    made.checkpoints,
    manifest.step,
    names.map((name) => ({ name, bytes: files[name].byteLength })),
  )
  for (const name of names) writer.write(name, 0, files[name])
  const { files: _, ...about } = manifest
  const model = specOf(description, config, manifest.image)
  writer.finish({ ...about, runId, config, model, weightsSha256: digestOf(smaller), score: null })
  const count = (tensors: Iterable<{ data: Float32Array }>) =>
    [...tensors].reduce((sum, { data }) => sum + data.length, 0)
  return {
    folder: resolve(made.checkpoints, stepName(manifest.step)),
    parameters: { before: count(weights.values()), after: count(smaller) },
  }
}

/** SHA-256 over the weights' bytes in name order. */
function digestOf(tensors: readonly { readonly name: string; readonly data: Float32Array }[]): string {
  const hash = createHash('sha256')
  for (const { data } of [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1)))
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return hash.digest('hex')
}
