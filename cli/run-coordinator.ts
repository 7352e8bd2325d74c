import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Coordinator, startCoordinator } from '../coordinator/main.ts'
import { type PreparedRun, prepareRun, type RunRequest } from '../coordinator/prepare-run.ts'
import { logPath, openRunLog } from '../coordinator/run-log.ts'
import type { Summary } from '../coordinator/summary.ts'
import { openToken } from '../coordinator/token.ts'
import { exitCode, messageOf } from '../shared/core/errors.ts'
import { makeSchedule } from '../shared/core/schedule.ts'
import { describeGoodput } from './describe-goodput.ts'
import { evaluationsOf } from './process/run-evaluations.ts'
import { Progress } from './progress.ts'
import { hostAndPort } from './values.ts'
import { levelOf, tellLine, type Verbosity } from './verbosity.ts'

export interface CoordinatorSettings {
  readonly request: RunRequest
  readonly bind: string
  readonly http: string
  /** True where nobody asked for that port: another one will do. */
  readonly httpFallBack: boolean
  readonly json: boolean
  readonly verbosity: Verbosity
  /** The first group waits for so many workers; null: for the run's maximum. */
  readonly startWorkers: number | null
  readonly faultMs: number
  /** Null: in the run's folder. */
  readonly tokenFile: string | null
}

/** Runs a coordinator to the end of its run and tells what happens; the same for `train` and `coordinator`. */
export async function runCoordinator(
  settings: CoordinatorSettings,
  started: (coordinator: Coordinator, run: PreparedRun) => void,
): Promise<number> {
  const { verbosity } = settings
  const output = verbosity === 'quiet' ? nowhere : settings.json ? process.stderr : process.stdout
  const http = hostAndPort(settings.http)
  const run = prepareRun(settings.request, (line) => process.stderr.write(`ringleader: ${line}\n`))
  const log = openRunLog(run.folder, run.runId, levelOf(verbosity), (line) => {
    if (verbosity === 'verbose') tellLine(line)
  })
  const schedule = makeSchedule(run.config, run.dataset.train.count)
  const progress = new Progress(
    output,
    schedule,
    () => performance.now(),
    (step) => evaluations.stored(step),
  )
  const evaluations = evaluationsOf(
    run,
    schedule.totalSteps,
    () => coordinator.evaluations,
    (line) => progress.incident(line),
  )
  const tokenFile = settings.tokenFile ?? join(run.folder.path, 'token')
  const coordinator = await startCoordinator(
    run,
    {
      bind: settings.bind,
      http: { ...http, fallBack: settings.httpFallBack },
      membership: { startWorkers: settings.startWorkers ?? run.config.maxWorkers, faultMs: settings.faultMs },
      token: openToken(tokenFile),
    },
    progress,
  )
  output.write(`run ${run.runId} in ${run.folder.path}\n`)
  if (run.checkpoint) output.write(`goes on from the checkpoint of step ${run.checkpoint.manifest.step}\n`)
  output.write(`page at http://${coordinator.httpAddress}/\n`)
  output.write(`token for its actions in ${tokenFile}\n`)
  output.write(`metrics at http://${coordinator.httpAddress}/metrics\n`)
  started(coordinator, run)
  const summary = await coordinator.done.catch((error: unknown) => {
    log.error(messageOf(error), { err: error })
    throw error
  })
  if (summary.status !== 'completed') evaluations.stop() // whoever interrupts does not want to wait
  await evaluations.finish()
  if (summary.evaluations.length > 0) run.folder.summary(summary)
  progress.end()
  const failed = verbosity === 'quiet' && summary.status === 'failed'
  const last = failed ? process.stderr : output
  last.write(closing(summary, run.folder.path, progress.firstFailure))
  if (settings.json) process.stdout.write(`${JSON.stringify(summary)}\n`)
  return { completed: exitCode.ok, interrupted: exitCode.interrupted, failed: exitCode.failed }[summary.status]
}

const nowhere = { write: () => {} }

function closing(summary: Summary, path: string, failure: Progress['firstFailure']): string {
  const rate = `${Math.round(summary.imagesPerSecond)} images/s`
  const done = `${summary.status} at step ${summary.steps}, ${rate}: ${path}/summary.json\n${describeGoodput(summary.goodput)}\n`
  if (summary.status === 'completed') return done
  const log = logPath(path, failure?.workerId ?? 'coordinator')
  const first = failure === null || summary.reason.includes(failure.reason) ? '' : `first failure: ${failure.reason}\n`
  const more = existsSync(log) ? `log: ${log}\n` : ''
  return `${done}reason: ${summary.reason}\n${first}${more}go on with: ringleader train --resume ${path}\n`
}
