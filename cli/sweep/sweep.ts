import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { readEvaluation, writeEvaluation } from '../../coordinator/checkpoint/checkpoint-store.ts'
import type { RunRequest } from '../../coordinator/prepare-run.ts'
import { makeFolder, writeFileAtomic } from '../../shared/core/atomic-file.ts'
import { usage } from '../../shared/core/config.ts'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import type { BackendName } from '../../worker/backend/open-backend.ts'
import type { EvaluatedCheckpoint } from '../evaluate-folder.ts'
import { threadsPerWorker } from '../native-setup.ts'
import { Evaluations } from '../process/evaluations.ts'
import { LocalGroup } from '../process/local-group.ts'
import { evaluationRequest, recordOf } from '../process/run-evaluations.ts'
import { type Goal, isEvaluated, runMetric } from './objective.ts'
import { lastComplaint, type TrialState, trialState, withLog } from './trial-folder.ts'
import type { TrialValues } from './trials.ts'

export interface Trial {
  readonly number: number
  readonly values: TrialValues
  /** Options of its run. */
  readonly request: RunRequest
}

export interface TrialResult {
  readonly trial: number
  readonly values: TrialValues
  readonly status: 'completed' | 'failed' | 'interrupted' | 'waiting'
  /** The objective; null where there is none. */
  readonly value: number | null
  readonly steps: number | null
  /** Of training. */
  readonly seconds: number | null
  /** Why it failed. */
  readonly reason: string | null
  readonly runDir: string
}

interface SweepSettings {
  /** Name of the file, for messages. */
  readonly from: string
  readonly folder: string
  readonly objective: string
  readonly goal: Goal
  readonly trials: readonly Trial[]
  readonly backend: BackendName
  readonly workers: number
  readonly threads: number | null
  readonly faultMs: number
  /** Told what goes on. */
  readonly tell: (line: string) => void
}

/** Trains one trial after the other. What is done, and how far, is what the folders of their runs say. */
export class Sweep {
  readonly #settings: SweepSettings
  readonly #results: TrialResult[]
  #evaluations: Evaluations | null = null
  #stopped = false

  constructor(settings: SweepSettings) {
    this.#settings = settings
    this.#results = settings.trials.map((trial) => this.#result(trial, { status: 'waiting' }))
  }

  get results(): readonly TrialResult[] {
    return this.#results
  }

  /** All trials; after Ctrl-C, which ends the one under way, the others wait. */
  async run(): Promise<{ readonly interrupted: boolean }> {
    const { folder, trials, objective, tell } = this.#settings
    this.#claimFolder()
    const stop = () => {
      this.#stopped = true
      this.#evaluations?.stop()
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
    try {
      for (const [index, trial] of trials.entries()) {
        if (this.#stopped) break
        const result = await this.#try(trial)
        this.#results[index] = result
        writeFileAtomic(join(folder, 'results.json'), `${JSON.stringify(this.#results, null, 2)}\n`)
        const { status, value, reason } = result
        const what = value === null ? (reason ?? status) : `${objective} ${value.toPrecision(5)}`
        tell(`trial ${trial.number} of ${trials.length}: ${what}`)
      }
    } finally {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
    }
    return { interrupted: this.#stopped }
  }

  /** A folder holds the trials of one sweep, of which there may be more later. */
  #claimFolder(): void {
    const { folder, trials, from } = this.#settings
    const path = join(folder, 'sweep.json')
    const now = trials.map(({ request: { options, dataDir } }) => ({
      options: JSON.parse(JSON.stringify(options)),
      dataDir,
    }))
    const plain = now.map(({ options: { maxWorkers: _, ...options }, dataDir }) => ({ options, dataDir }))
    const before = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as typeof plain) : []
    const different = before.findIndex(
      (trial, index) => index < plain.length && !isDeepStrictEqual(trial, plain[index]),
    )
    if (different >= 0)
      throw usage(
        `${from}: trial ${different + 1} in ${folder} had other options; write another --out, or the file as it was`,
      )
    try {
      makeFolder(folder)
      if (plain.length > before.length) writeFileAtomic(path, `${JSON.stringify(plain, null, 2)}\n`)
    } catch (error) {
      throw new RingleaderError('output', `cannot write to ${folder}: ${messageOf(error)}; write another --out`, {
        cause: error,
      })
    }
  }

  async #try(trial: Trial): Promise<TrialResult> {
    const before = trialState(this.#runDir(trial))
    const state = before.kind === 'new' || before.kind === 'cut-off' ? await this.#train(trial, before) : before
    if (state.kind === 'failed') return this.#result(trial, { ...state, status: 'failed' })
    if (state.kind !== 'trained') return this.#result(trial, { status: 'interrupted' })
    const { steps, summary } = state
    const done = { steps, seconds: summary?.wallSeconds ?? null }
    const value = await this.#value(trial, state)
    if (typeof value === 'number') return this.#result(trial, { ...done, status: 'completed', value })
    if (value.reason === null) return this.#result(trial, { ...done, status: 'interrupted' })
    return this.#result(trial, { ...done, status: 'failed', reason: value.reason })
  }

  async #train(trial: Trial, before: TrialState): Promise<TrialState> {
    const { workers, threads, backend, faultMs, tell, trials } = this.#settings
    const runDir = this.#runDir(trial)
    const goesOn = before.kind === 'cut-off'
    const chosen = Object.entries(trial.values).map(([flag, value]) => `${flag} ${String(value)}`)
    tell(`trial ${trial.number} of ${trials.length}${goesOn ? ' goes on' : ''}: ${chosen.join(', ')}`)
    const request = goesOn
      ? { ...trial.request, options: { minWorkers: 1, maxWorkers: workers }, resume: runDir }
      : { ...trial.request, runDir, name: trialName(trial) }
    const log = `${runDir}.log`
    const code = await withLog(log, (output) =>
      new LocalGroup({ engines: [{ backend, device: null }], threads, output }).run({
        ...{ request, bind: 'tcp://127.0.0.1:0', http: '127.0.0.1:0', httpFallBack: true, json: false },
        ...{ verbosity: 'quiet', startWorkers: null, faultMs, tokenFile: null },
      }),
    )
    const after = trialState(runDir)
    if (code === exitCode.interrupted) this.#stopped = true
    if (after.kind === 'trained' || after.kind === 'failed' || this.#stopped) return after
    return { kind: 'failed', reason: lastComplaint(log) ?? `exit code ${code}`, steps: 0, seconds: 0 }
  }

  /** The objective; else why there is none, null where it was interrupted. */
  async #value(
    trial: Trial,
    state: Extract<TrialState, { kind: 'trained' }>,
  ): Promise<number | { readonly reason: string | null }> {
    const { objective, from } = this.#settings
    if (!isEvaluated(objective)) {
      const value = runMetric(from, objective, this.#runDir(trial), state.summary)
      return value ?? { reason: `${objective} has no finite value in the last steps` }
    }
    const stored = readEvaluation(state.checkpoint) as EvaluatedCheckpoint | null
    const evaluated = stored ?? (await this.#evaluate(trial, state))
    if ('reason' in evaluated) return evaluated
    const value = recordOf(evaluated).figures[objective]
    return value !== undefined && Number.isFinite(value) ? value : { reason: `${objective} is not finite` }
  }

  async #evaluate(
    trial: Trial,
    { config, dataDir, steps }: Extract<TrialState, { kind: 'trained' }>,
  ): Promise<EvaluatedCheckpoint | { readonly reason: string | null }> {
    let outcome: EvaluatedCheckpoint | { readonly reason: string | null } = { reason: null }
    this.#evaluations = new Evaluations({
      ...{ checkpoints: join(this.#runDir(trial), 'checkpoints'), every: 1, totalSteps: steps },
      request: { ...evaluationRequest(config, dataDir), threads: this.#settings.threads ?? threadsPerWorker(1) },
      done(evaluated) {
        writeEvaluation(evaluated.checkpoint, evaluated)
        outcome = evaluated
      },
      failed(_, reason) {
        outcome = { reason: `it could not be evaluated: ${reason}` }
      },
    })
    if (!this.#stopped) this.#evaluations.stored(steps)
    await this.#evaluations.finish()
    this.#evaluations = null
    return outcome
  }

  #runDir(trial: Trial): string {
    return join(this.#settings.folder, trialName(trial))
  }

  #result(trial: Trial, known: Pick<TrialResult, 'status'> & Partial<TrialResult>): TrialResult {
    const { number, values } = trial
    const { status, value = null, steps = null, seconds = null, reason = null } = known
    return { trial: number, values, status, value, steps, seconds, reason, runDir: this.#runDir(trial) }
  }
}

const trialName = ({ number }: Trial): string => `trial-${String(number).padStart(3, '0')}`
