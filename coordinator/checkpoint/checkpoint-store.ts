import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { syncFolder, writeFileAtomic } from '../../shared/core/atomic-file.ts'
import { storedConfigSchema } from '../../shared/core/config.ts'
import { messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { sha256 } from '../../shared/dataset/chunk.ts'
import { modelSpecSchema } from '../../shared/model/spec.ts'
import { notedGoodputSchema, nothing } from '../goodput/parts.ts'

export const coverageSchema = z.array(
  z.object({ epoch: z.number(), distinct: z.number(), duplicates: z.number(), missing: z.number() }),
)

/** What a run has spent, over all its sittings. */
export const elapsedSchema = z.object({
  wallSeconds: z.number(),
  steppingSeconds: z.number(),
  images: z.number(),
  goodput: notedGoodputSchema.default(nothing),
})

export const manifestSchema = z.object({
  formatVersion: z.literal(1),
  runId: z.string(),
  /** Layers of each network: enough to rebuild the model elsewhere. */
  model: modelSpecSchema,
  image: z.object({ height: z.number(), width: z.number(), channels: z.number() }),
  config: storedConfigSchema,
  step: z.number(),
  epoch: z.number(),
  seed: z.number(),
  /** Epochs that are complete; the samples of the open one follow from the step. */
  ledger: z.object({ finishedEpochs: coverageSchema }),
  elapsed: elapsedSchema,
  optimizerSteps: z.record(z.string(), z.number()),
  weightsSha256: z.string(),
  /** Training loss, smoothed; null where it says nothing about quality. */
  score: z.number().nullable(),
  files: z.record(z.string(), z.object({ bytes: z.number(), sha256: z.string() })),
})
export type Manifest = z.infer<typeof manifestSchema>

type FileName = 'weights.safetensors' | 'optimizer.safetensors'

/** Writes a checkpoint aside as its pieces come in, and renames it into place when it is whole. */
export class CheckpointWriter {
  readonly step: number
  readonly #final: string
  readonly #folder: string
  readonly #files = new Map<
    FileName,
    { descriptor: number; bytes: number; written: number; hash: ReturnType<typeof createHash> }
  >()

  constructor(checkpoints: string, step: number, files: readonly { name: FileName; bytes: number }[]) {
    this.step = step
    this.#final = join(checkpoints, stepName(step))
    this.#folder = `${this.#final}.tmp`
    rmSync(this.#folder, { recursive: true, force: true })
    mkdirSync(this.#folder, { recursive: true })
    for (const { name, bytes } of files)
      this.#files.set(name, {
        descriptor: openSync(join(this.#folder, name), 'w'),
        bytes,
        written: 0,
        hash: createHash('sha256'),
      })
  }

  write(name: FileName, offset: number, bytes: Uint8Array): void {
    const file = this.#files.get(name)
    if (!file || offset !== file.written || offset + bytes.byteLength > file.bytes)
      throw new RingleaderError('checkpoint', `piece ${offset} of ${name} came out of order`)
    for (let done = 0; done < bytes.byteLength; ) done += writeSync(file.descriptor, bytes, done)
    file.hash.update(bytes)
    file.written += bytes.byteLength
  }

  finish(about: Omit<Manifest, 'files'>): Manifest {
    const files: Manifest['files'] = {}
    for (const [name, file] of this.#files) {
      if (file.written !== file.bytes)
        throw new RingleaderError('checkpoint', `${name} has ${file.written} of ${file.bytes} bytes`)
      fsyncSync(file.descriptor)
      closeSync(file.descriptor)
      files[name] = { bytes: file.bytes, sha256: file.hash.digest('hex') }
    }
    this.#files.clear()
    const manifest = { ...about, files }
    const path = join(this.#folder, 'manifest.json')
    writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`)
    const descriptor = openSync(path, 'r')
    fsyncSync(descriptor)
    closeSync(descriptor)
    rmSync(this.#final, { recursive: true, force: true })
    renameSync(this.#folder, this.#final)
    syncFolder(join(this.#final, '..'))
    return manifest
  }

  abandon(): void {
    for (const file of this.#files.values()) closeSync(file.descriptor)
    this.#files.clear()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export interface StoredCheckpoint {
  readonly folder: string
  readonly manifest: Manifest
  readonly weights: Uint8Array
  readonly optimizer: Uint8Array
}

/** Reads and verifies one checkpoint; errors name the file. */
export function readCheckpoint(folder: string): StoredCheckpoint {
  const manifest = readManifest(folder)
  const read = (name: FileName): Uint8Array => {
    const path = join(folder, name)
    const expected = manifest.files[name]
    const bytes = readOr(path)
    if (!expected || sha256(bytes) !== expected.sha256)
      throw new RingleaderError('checkpoint-corrupt', `${path}: its SHA-256 is not the one in manifest.json`)
    return bytes
  }
  return { folder, manifest, weights: read('weights.safetensors'), optimizer: read('optimizer.safetensors') }
}

/** The newest checkpoint of a run that is whole, up to a step; a damaged one is told and skipped. */
export function newestCheckpoint(
  checkpoints: string,
  warn: (message: string) => void,
  last = Number.POSITIVE_INFINITY,
): StoredCheckpoint | null {
  for (const name of stepFolders(checkpoints).reverse()) {
    if (stepOf(name) > last) continue
    try {
      return readCheckpoint(join(checkpoints, name))
    } catch (error) {
      warn(`checkpoint ${name} is skipped: ${messageOf(error)}`)
    }
  }
  return null
}

/** Keeps the newest `keep` and the one with the lowest score. */
export function removeOldCheckpoints(checkpoints: string, keep: number): void {
  const old = stepFolders(checkpoints).slice(0, -keep)
  if (old.length === 0) return
  const best = bestCheckpoint(checkpoints)
  for (const name of old) if (name !== best) rmSync(join(checkpoints, name), { recursive: true, force: true })
}

/** Removes those after a step. */
export function removeCheckpointsAfter(checkpoints: string, step: number): void {
  for (const name of stepFolders(checkpoints))
    if (stepOf(name) > step) rmSync(join(checkpoints, name), { recursive: true, force: true })
}

function bestCheckpoint(checkpoints: string): string | null {
  let best: { name: string; score: number } | null = null
  for (const name of stepFolders(checkpoints)) {
    const score = scoreOf(join(checkpoints, name))
    if (score !== null && score <= (best?.score ?? Number.POSITIVE_INFINITY)) best = { name, score }
  }
  return best?.name ?? null
}

/** Lower is better: the loss, or, where that says nothing, the FID if it was evaluated. A damaged checkpoint is never the best. */
function scoreOf(folder: string): number | null {
  try {
    return readManifest(folder).score ?? readFid(folder)
  } catch (error) {
    if (error instanceof RingleaderError) return null
    throw error
  }
}

const evaluationFile = 'evaluation.json'

/** Puts the figures of a checkpoint beside it; one that is gone meanwhile stays so. */
export function writeEvaluation(folder: string, evaluation: object): void {
  if (existsSync(folder)) writeFileAtomic(join(folder, evaluationFile), `${JSON.stringify(evaluation, null, 2)}\n`)
}

/** What `writeEvaluation` put there; null: nothing. */
export function readEvaluation(folder: string): unknown {
  const path = join(folder, evaluationFile)
  return existsSync(path) ? parsedOrNull(readFileSync(path, 'utf8')) : null
}

function readFid(folder: string): number | null {
  const found = evaluationSchema.safeParse(readEvaluation(folder))
  return found.success ? found.data.samples.fid : null
}

const evaluationSchema = z.object({ samples: z.object({ fid: z.number() }) })

function parsedOrNull(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function stepOf(name: string): number {
  return Number.parseInt(name.slice('step-'.length), 10)
}

export function stepName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`
}

function stepFolders(checkpoints: string): string[] {
  return existsSync(checkpoints)
    ? readdirSync(checkpoints)
        .filter((name) => /^step-\d{8}$/.test(name))
        .sort()
    : []
}

function readManifest(folder: string): Manifest {
  const path = join(folder, 'manifest.json')
  try {
    return manifestSchema.parse(JSON.parse(Buffer.from(readOr(path)).toString('utf8')))
  } catch (error) {
    if (error instanceof RingleaderError) throw error
    throw new RingleaderError('checkpoint-corrupt', `${path}: ${messageOf(error).split('\n')[0]}`, { cause: error })
  }
}

function readOr(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new RingleaderError(
      'checkpoint-missing',
      `${path} cannot be read; give the folder of a checkpoint, such as runs/ID/checkpoints/step-00000500`,
      { cause: error },
    )
  }
}
