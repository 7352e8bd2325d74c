import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { usage } from '../../shared/core/config.ts'
import { messageOf } from '../../shared/core/errors.ts'
import { fitStepModel, type StepModel } from '../../shared/core/step-model.ts'

const lineSchema = z.looseObject({
  worldSize: z.number().positive(),
  globalBatch: z.number().positive(),
  steps: z.number().positive(),
  seconds: z.number().positive(),
  allReduceMs: z.number(),
})
type Line = z.infer<typeof lineSchema>

/**
 * The model of a step from lines of `bench step --json`. The largest batch is the global one: a worker with fewer rows
 * does what one of several does, so one worker with 128, 64, 32 rows is measured as well as 1, 2, 4 workers with 128.
 */
export function measuredStep(path: string): { model: StepModel; globalBatch: number } {
  const lines = linesOf(path)
  const globalBatch = Math.max(...lines.map((line) => line.globalBatch))
  const model = fitStepModel(
    lines.map(({ worldSize, globalBatch: batch, steps, seconds, allReduceMs }) => ({
      parts: (globalBatch * worldSize) / batch,
      computeMs: (1000 * seconds) / steps - allReduceMs,
    })),
  )
  if (!model)
    throw usage(`--measured ${path}: write lines of two batch sizes at least, such as those of --batch-size 128 and 64`)
  return { model, globalBatch }
}

function linesOf(path: string): Line[] {
  try {
    const lines = readFileSync(path, 'utf8').split('\n')
    return lines.filter((line) => line !== '').map((line) => lineSchema.parse(JSON.parse(line)))
  } catch (error) {
    const why = messageOf(error).split('\n')[0]
    throw usage(`--measured ${path}: write a file with lines of \`ringleader bench step --json\` (${why})`)
  }
}
