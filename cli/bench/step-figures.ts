import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { RingleaderError } from '../../shared/core/errors.ts'
import { readJsonLines } from '../../shared/core/json-lines.ts'
import { mean, median, rounded } from './spread.ts'

/** Of the steps of a training over a time. */
export interface StepFigures {
  readonly model: string
  readonly math: string
  readonly backend: string
  readonly reproducible: boolean
  readonly worldSize: number
  readonly globalBatch: number
  readonly steps: number
  readonly seconds: number
  /** Over all workers and the whole time, what lies between the steps included. */
  readonly imagesPerSecond: number
  /** Median of a step, as the ranks time it. */
  readonly iterationMs: number
  readonly allReduceMs: number
  /** Mean of each part of a step, by its name, and of what lies between two steps. */
  readonly phaseMs: Readonly<Record<string, number>>
}

const lineSchema = z.looseObject({
  time: z.iso.datetime(),
  images: z.number(),
  seconds: z.number(),
  allReduceSeconds: z.number(),
  phaseSeconds: z.record(z.string(), z.number()).optional(),
})
type Line = z.infer<typeof lineSchema>

const configSchema = z.looseObject({
  model: z.string(),
  batchSize: z.number(),
  reproducible: z.boolean(),
  math: z.string().default('fp32'),
})
const summarySchema = z.looseObject({ backend: z.string(), worldSizes: z.array(z.unknown()) })

/** From the files of a run that is over. Times are milliseconds since 1970. */
export function stepFigures(folder: string, workers: number, from: number, until: number): StepFigures {
  const { model, batchSize, reproducible, math } = configSchema.parse(readJson(join(folder, 'config.json')))
  const { backend, worldSizes } = summarySchema.parse(readJson(join(folder, 'summary.json')))
  if (worldSizes.length !== 1) throw new RingleaderError('bench', 'a worker was lost during the measurement')
  const lines = readJsonLines(join(folder, 'metrics.jsonl'))
    .map((line) => lineSchema.parse(line))
    .filter(({ time }) => Date.parse(time) >= from && Date.parse(time) <= until)
  const about = { model, math, backend, reproducible, worldSize: workers, globalBatch: batchSize }
  return { ...about, ...figuresOf(lines) }
}

type Measured = 'steps' | 'seconds' | 'imagesPerSecond' | 'iterationMs' | 'allReduceMs' | 'phaseMs'

/** A line's time is that of the commit, so the first one begins the time and is no part of it. */
export function figuresOf([first, ...lines]: readonly Line[]): Pick<StepFigures, Measured> {
  const last = lines.at(-1)
  if (!first || !last) throw new RingleaderError('bench', 'fewer than two steps in the time; write a larger --seconds')
  const seconds = (Date.parse(last.time) - Date.parse(first.time)) / 1000
  const stepMs = 1000 * mean(lines.map((line) => line.seconds))
  const allReduceMs = 1000 * mean(lines.map((line) => line.allReduceSeconds))
  const phases = phaseMeans(lines) ?? { allReduce: allReduceMs, rest: stepMs - allReduceMs }
  const betweenSteps = Math.max(0, (1000 * seconds) / lines.length - stepMs)
  return {
    steps: lines.length,
    seconds,
    imagesPerSecond: rounded(lines.reduce((sum, { images }) => sum + images, 0) / seconds, 6),
    iterationMs: rounded(median(lines.map((line) => 1000 * line.seconds))),
    allReduceMs: rounded(allReduceMs),
    phaseMs: Object.fromEntries(Object.entries({ ...phases, betweenSteps }).map(([name, ms]) => [name, rounded(ms)])),
  }
}

/** Null where the lines do not tell. A step that lacks a part spends nothing on it. */
function phaseMeans(lines: readonly Line[]): Record<string, number> | null {
  const names = new Set(lines.flatMap(({ phaseSeconds }) => Object.keys(phaseSeconds ?? {})))
  if (names.size === 0) return null
  const meanOf = (name: string) => 1000 * mean(lines.map(({ phaseSeconds }) => phaseSeconds?.[name] ?? 0))
  return Object.fromEntries([...names].map((name) => [name, meanOf(name)]))
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'))
}

/** Figures for people. */
export function toldFigures(figures: StepFigures, threads: number): string {
  const { model, worldSize, globalBatch, math, backend, steps, seconds, imagesPerSecond, iterationMs } = figures
  const workers = `${worldSize} worker${worldSize === 1 ? '' : 's'}, threads of each: ${threads}`
  const wholeMs = (1000 * seconds) / steps
  return [
    `${model}, ${workers}, global batch ${globalBatch}, ${math}, ${backend}${figures.reproducible ? ', reproducible' : ''}`,
    `  images/s     ${Math.round(imagesPerSecond)} (${steps} steps in ${seconds.toFixed(1)} s)`,
    `  iteration    ${iterationMs} ms median`,
    ...Object.entries(figures.phaseMs).map(
      ([name, ms]) =>
        `    ${name.padEnd(16)} ${ms.toFixed(2).padStart(8)} ms ${`${Math.round((100 * ms) / wholeMs)}`.padStart(4)} %`,
    ),
    '',
  ].join('\n')
}
