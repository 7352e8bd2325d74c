import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunRequest } from '../../coordinator/prepare-run.ts'
import { exitCode, RingleaderError } from '../../shared/core/errors.ts'
import type { BackendName } from '../../worker/backend/open-backend.ts'
import { LocalGroup } from '../process/local-group.ts'
import { Steps } from '../process/steps.ts'
import { runRequest } from '../run-options.ts'
import { type StepFigures, stepFigures } from './step-figures.ts'

/** A training to be measured. */
export interface Training {
  readonly workers: number
  readonly threads: number
  readonly backend: BackendName
  /** Run options as the command line has them. */
  readonly options: Readonly<Record<string, unknown>>
}

/** When is measured: a training has all its speed once V8 has compiled what a step is made of. */
export interface Span {
  readonly seconds: number
  /** Seconds after the first step. */
  readonly warmUp: number
}

const warmUpSteps = 5
const lookMs = 50
/** Longer than a measurement; above this number metrics.jsonl would be thinned out (coordinator/run-record.ts). */
const endlessSteps = 100_000
/** Checkpoints and sample grids, which would take part of the time that is measured: none but at the end. Looks at stability: none. */
const never = 1_000_000_000

/** The options of `train`, with nothing beside the steps. */
export function trainingRequest({ workers, threads, options }: Training): RunRequest {
  const quiet = { steps: endlessSteps, checkpointEvery: never, sampleEvery: never, inspectEvery: 0 }
  const bound = options.reproducible === true ? { threads } : {}
  return runRequest({ ...options, ...quiet }, false, { minWorkers: workers, maxWorkers: workers, ...bound })
}

/** Runs trainings side by side, waits until all are warm, and measures all over the same time. */
export async function measureTrainings(
  trainings: readonly Training[],
  { seconds, warmUp }: Span,
): Promise<StepFigures[]> {
  const base = mkdtempSync(join(tmpdir(), 'ringleader-bench-'))
  const remove = () => rmSync(base, { recursive: true, force: true })
  process.on('exit', remove)
  const running = trainings.map((training, index) => new RunningTraining(training, join(base, String(index))))
  try {
    const ended = Promise.race(running.map((run) => run.failed))
    await Promise.race([ended, Promise.all(running.map((run) => run.warm(warmUp)))])
    const from = Date.now()
    await Promise.race([ended, sleep(seconds * 1000)])
    const until = Date.now()
    return await Promise.all(running.map((run) => run.figures(from, until)))
  } finally {
    await Promise.all(running.map((run) => run.end()))
    remove()
    process.off('exit', remove)
  }
}

class RunningTraining {
  /** Rejects where it ends before it was told to. */
  readonly failed: Promise<never>
  readonly #group: LocalGroup
  readonly #training: Training
  readonly #folder: string
  readonly #over: Promise<number>
  #told = false
  #isOver = false

  constructor(training: Training, folder: string) {
    const { backend, threads } = training
    this.#training = training
    this.#folder = folder
    this.#group = new LocalGroup({ engines: [{ backend, device: null }], threads, quiet: true })
    this.#over = this.#group.run({
      request: { ...trainingRequest(training), runDir: folder },
      ...{
        bind: 'tcp://127.0.0.1:0',
        http: '127.0.0.1:0',
        httpFallBack: true,
        json: false,
        verbosity: 'quiet' as const,
      },
      ...{ startWorkers: training.workers, faultMs: 10_000, tokenFile: null },
    })
    this.failed = this.#over.then((code) => {
      this.#isOver = true
      if (this.#told) return new Promise<never>(() => {})
      if (code === exitCode.interrupted) throw new RingleaderError('interrupted', 'stopped', { exit: code })
      const why =
        code === exitCode.ok ? `after ${endlessSteps} steps; write a smaller --seconds` : `with exit code ${code}`
      throw new RingleaderError('bench', `the training ended early, ${why}`)
    })
    this.failed.catch(() => {}) // whoever waits for it hears of it
  }

  async warm(seconds: number): Promise<void> {
    const steps = new Steps(this.#folder)
    let first: number | null = null
    const cold = () => first === null || performance.now() - first < seconds * 1000 || steps.step < warmUpSteps
    while (!this.#isOver && cold()) {
      await sleep(lookMs)
      if (steps.look() > 0) first ??= performance.now()
    }
  }

  /** Of the steps that were committed within the time, by the clock of this host. */
  async figures(from: number, until: number): Promise<StepFigures> {
    await this.end()
    return stepFigures(this.#folder, this.#training.workers, from, until)
  }

  async end(): Promise<void> {
    this.#told = true
    this.#group.stop()
    await this.#over
  }
}

/** The processes of the trainings keep this one alive; the time alone does not. */
function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
