import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { newestCheckpoint } from '../../coordinator/checkpoint/checkpoint-store.ts'
import { RunFolder } from '../../coordinator/run-folder.ts'
import type { RunConfig } from '../../shared/core/config.ts'
import { makeSchedule } from '../../shared/core/schedule.ts'

/** How far a trial has come, as its run's folder says. */
export type TrialState =
  | { readonly kind: 'new' }
  | { readonly kind: 'cut-off' }
  | { readonly kind: 'failed'; readonly reason: string; readonly steps: number; readonly seconds: number }
  | {
      readonly kind: 'trained'
      readonly config: RunConfig
      readonly dataDir: string | null
      readonly checkpoint: string
      readonly steps: number
      /** summary.json; null where the process was ended before it was written. */
      readonly summary: TrialSummary | null
    }

type TrialSummary = { status: string; reason: string; steps: number; wallSeconds: number; imagesPerSecond: number }

export function trialState(runDir: string): TrialState {
  if (!existsSync(join(runDir, 'config.json'))) return { kind: 'new' }
  const { folder, file } = RunFolder.open(runDir)
  const summary = readSummary(runDir)
  if (summary?.status === 'failed') {
    const { reason, steps, wallSeconds } = summary
    return { kind: 'failed', reason, steps, seconds: wallSeconds }
  }
  const checkpoint = newestCheckpoint(folder.checkpoints, () => {})
  const { totalSteps } = makeSchedule(file.config, file.images.count)
  if (!checkpoint || checkpoint.manifest.step < totalSteps) return { kind: 'cut-off' }
  const { config } = file
  const { dataDir } = folder
  return { kind: 'trained', config, dataDir, checkpoint: checkpoint.folder, steps: totalSteps, summary }
}

function readSummary(runDir: string): TrialSummary | null {
  const path = join(runDir, 'summary.json')
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as TrialSummary) : null
}

/** Runs something with the descriptor of a file that it appends to; an empty one does not stay. */
export async function withLog<Result>(path: string, run: (descriptor: number) => Promise<Result>): Promise<Result> {
  const descriptor = openSync(path, 'a')
  try {
    return await run(descriptor)
  } finally {
    closeSync(descriptor)
    if (statSync(path).size === 0) rmSync(path)
  }
}

/** The last complaint in a log; null: there is none. */
export function lastComplaint(path: string): string | null {
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
  const line = lines.filter((each) => each.startsWith('ringleader: ')).at(-1)
  return line === undefined ? null : line.slice('ringleader: '.length)
}
