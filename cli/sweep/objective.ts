import { join } from 'node:path'
import { z } from 'zod'
import { usage } from '../../shared/core/config.ts'
import { readJsonLines } from '../../shared/core/json-lines.ts'
import type { ModelDescription } from '../../shared/model/description.ts'

export type Goal = 'minimize' | 'maximize'

/** Figures of `evaluate` (docs/evaluation.md), and which way is better. */
const sampleFigures: Readonly<Record<string, Goal>> = {
  ...{ fid: 'minimize', fidRelative: 'minimize', kid: 'minimize', classKl: 'minimize', memorised: 'minimize' },
  ...{ inceptionScore: 'maximize', precision: 'maximize', recall: 'maximize', density: 'maximize' },
  ...{ coverage: 'maximize', modes: 'maximize' },
}
const likelihoodFigures: Readonly<Record<string, Goal>> = {
  ...{ negativeElbo: 'minimize', negativeIwae: 'minimize', reconstruction: 'minimize', kl: 'minimize' },
}
const classifierFigures: Readonly<Record<string, Goal>> = { testAccuracy: 'maximize' }
const evaluated = { ...sampleFigures, ...likelihoodFigures, ...classifierFigures }

/** Of the last steps; the losses of a single batch say little. */
const meanOfSteps = 100

/** True where the objective needs an evaluation of the last checkpoint; else it is a metric of the run. */
export const isEvaluated = (objective: string): boolean => Object.hasOwn(evaluated, objective)

export function goalOf(objective: string, given: Goal | null): Goal {
  if (given) return given
  if (objective === 'imagesPerSecond') return 'maximize'
  return evaluated[objective] ?? 'minimize'
}

/** Refuses a figure of `evaluate` that this model does not have. */
export function checkObjective(from: string, objective: string, { family, name }: ModelDescription): void {
  const there = {
    vae: evaluated,
    gan: { ...sampleFigures, ...classifierFigures },
    classifier: classifierFigures,
  }[family]
  if (!isEvaluated(objective) || objective in there) return
  throw usage(
    `${from}: objective ${objective} means nothing to model ${name}; write one of ${Object.keys(there).join(', ')}, or a metric of the run`,
  )
}

const totals = z.object({ imagesPerSecond: z.number(), wallSeconds: z.number() })

/**
 * A metric of a run that was trained to its end: of its summary, or a scalar of metrics.jsonl as the mean over the last 100
 * lines. Null: none of them is finite, or
 * all steps were skipped.
 */
export function runMetric(from: string, objective: string, runDir: string, summary: object | null): number | null {
  const whole = totals.safeParse(summary)
  if (whole.success && (objective === 'imagesPerSecond' || objective === 'wallSeconds')) return whole.data[objective]
  const lines = readJsonLines(join(runDir, 'metrics.jsonl')).slice(-meanOfSteps)
  const steps = lines.filter(({ skipped }) => skipped !== true) // a skipped step has no scalars
  const there = Object.entries(steps.at(-1) ?? {}).flatMap(([name, value]) =>
    ['time', 'step', 'epoch', 'skipped'].includes(name) || (typeof value === 'object' && value !== null) ? [] : [name],
  )
  if (steps.length > 0 && !there.includes(objective))
    throw usage(
      `${from}: objective ${objective}: a run of this model has no such metric; write one of ${[...there, 'wallSeconds'].join(', ')}, or a figure of evaluate`,
    )
  const values = steps.map((line) => line[objective]).filter((value) => typeof value === 'number')
  return values.length > 0 ? values.reduce((sum, value) => sum + value, 0) / values.length : null
}
