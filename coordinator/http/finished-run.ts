import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { usage } from '../../shared/core/config.ts'
import { lastLine } from '../../shared/core/json-lines.ts'
import { makeSchedule } from '../../shared/core/schedule.ts'
import { RunFolder } from '../run-folder.ts'
import type { Summary } from '../summary.ts'
import type { ShownRun } from './run-feed.ts'

/** A run by its folder alone: over, or still under way. Errors: exit code 2 where it is no run's folder. */
export function openShownRun(path: string): ShownRun {
  if (!existsSync(join(path, 'config.json')))
    throw usage(`${path}: there is no config.json; write the folder of a run, such as runs/RUN_ID`)
  const { runId, config, images } = RunFolder.open(path).file
  const { totalSteps, stepsPerEpoch } = makeSchedule(config, images.count)
  const { model, dataset } = config
  return {
    name: runId,
    path,
    status() {
      const summary = summaryOf(path)
      const step = summary?.steps ?? stepOf(path)
      return {
        ...{ runId, model, dataset, phase: summary?.status ?? 'not over', step, totalSteps },
        epoch: Math.floor(step / stepsPerEpoch),
        coverage: summary?.coverage.slice(-10) ?? [],
        ...(summary?.goodput ? { goodput: summary.goodput } : {}),
        ...(summary?.advice ? { advice: summary.advice } : {}),
      }
    },
  }
}

/** Null where the run is not over. */
function summaryOf(path: string): (Pick<Summary, 'steps' | 'status' | 'coverage'> & Partial<Summary>) | null {
  const file = join(path, 'summary.json')
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Summary) : null
}

/** Of the last line of metrics that is whole. */
function stepOf(path: string): number {
  const file = join(path, 'metrics.jsonl')
  const line = existsSync(file) ? lastLine(file).line : undefined
  return line ? (JSON.parse(line) as { step: number }).step : 0
}
