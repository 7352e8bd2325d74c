import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DealRule, usualDealRule } from '../../coordinator/membership/lane-dealer.ts'
import type { Incident } from '../../coordinator/run-folder.ts'
import type { Summary } from '../../coordinator/summary.ts'
import type { RunConfig, RunOptions } from '../../shared/core/config.ts'
import { readJsonLines } from '../../shared/core/json-lines.ts'
import type { Fault } from '../chaos/plan.ts'
import { Invariants } from './invariants.ts'
import { SimulatedRun } from './simulated-run.ts'
import { toyDataset } from './toy-model.ts'

/** 18 batches of 16 images, 3 in a step: 6 steps an epoch. */
const samples = 280
const stepsPerEpoch = 6
const limitMs = 15 * 60_000

export interface Simulated {
  readonly seed: number
  readonly workers: number
  readonly faults: readonly Fault[]
  readonly fired: readonly Fault[]
  /** What should never be, and was. */
  readonly violations: readonly string[]
  readonly summary: Summary | null
  readonly stepsLost: number
  readonly virtualMs: number
  readonly incidents: readonly Incident[]
  /** SHA-256 of the weights after each step. */
  readonly bits: ReadonlyMap<string, string>
  /** events.jsonl */
  readonly events: readonly Record<string, unknown>[]
}

export interface SimulateOptions {
  readonly seed: number
  readonly workers: number
  /** A multiple of 6, so that whole epochs are run. */
  readonly steps: number
  readonly reproducible: boolean
  /** What is lost depends on who computes a step, so bits are compared within a generation alone. */
  readonly compression?: RunConfig['compression']
  readonly faults: readonly Fault[]
  /** What the weights have to be after each step: those of an undisturbed run. */
  readonly bits?: ReadonlyMap<string, string>
  readonly minWorkers?: number
  /** Whether killed workers are started again (default: true). */
  readonly restarts?: boolean
  readonly trace?: (line: string) => void
  /** Default: auto, on one host. */
  readonly algorithm?: RunOptions['algorithm']
  readonly hosts?: number
  /** When lanes are dealt anew (default: as usual). */
  readonly deal?: DealRule
}

/** One run of the real coordinator and the real workers on virtual time. */
export async function simulate(options: SimulateOptions): Promise<Simulated> {
  const { seed, workers, steps, reproducible, faults, minWorkers, trace } = options
  const { hosts = 1, algorithm = 'auto', compression = 'none', deal = usualDealRule } = options
  const invariants = new Invariants(options.bits ?? new Map(), compression === 'none')
  const runDir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ringleader-simulation-'))
  const joining = faults.filter(({ kind }) => kind === 'join').length
  const runOptions: RunOptions = {
    ...{
      model: 'gan',
      dataset: 'toy',
      inspectEvery: 0,
      steps,
      batchSize: 16,
      discriminatorUpdates: 3,
      seed,
      lanes: 16,
    },
    ...{ minWorkers: minWorkers ?? 1, maxWorkers: workers + joining, reproducible, algorithm, compression },
    ...{ maxGradientNorm: 1e12, checkpointEvery: 10 },
  }
  try {
    const simulated = new SimulatedRun(
      {
        ...{ seed, workers, hosts, faults, dataset: toyDataset(samples), trace: trace ?? null },
        restarts: options.restarts ?? true,
        deal,
        request: {
          ...{
            options: runOptions,
            runDir,
            name: null,
            dataDir: null,
            resume: null,
            takeOver: false,
            allowChanges: false,
          },
        },
      },
      invariants,
    )
    const ended = await simulated.run(limitMs)
    const { summary, fired, time } = simulated
    if (!ended) invariants.violated(`did not come to its end: ${JSON.stringify(simulated.status())}`)
    if (summary) check(summary, steps, invariants)
    if (summary) checkGoodput(summary, (time.now / 1000) * (workers + joining), invariants)
    const events = readJsonLines(join(runDir, 'events.jsonl'))
    return {
      ...{ seed, workers, faults, fired, summary, events, violations: invariants.violations, bits: invariants.bits },
      ...{ stepsLost: invariants.rewound, virtualMs: Math.round(time.now), incidents: summary?.incidents ?? [] },
    }
  } finally {
    rmSync(runDir, { recursive: true, force: true })
  }
}

/** Nobody can have spent more time than there was. */
function checkGoodput({ goodput }: Summary, mostSeconds: number, invariants: Invariants): void {
  const { workerSeconds, seconds } = goodput
  if (!(workerSeconds <= mostSeconds + 0.01 && seconds.useful > 0))
    invariants.violated(`${workerSeconds} worker-seconds of ${mostSeconds}: ${JSON.stringify(seconds)}`)
}

function check(summary: Summary, steps: number, invariants: Invariants): void {
  if (summary.status !== 'completed' || summary.steps !== steps)
    invariants.violated(`${summary.status} at step ${summary.steps} of ${steps}: ${summary.reason}`)
  if (!invariants.knows(steps, summary.weightsSha256)) invariants.violated('the last checkpoint has other bits')
  const whole = summary.coverage.filter(({ distinct }) => distinct === samples)
  if (whole.length !== Math.floor(steps / stepsPerEpoch))
    invariants.violated(`${whole.length} epochs of ${steps / stepsPerEpoch} are whole`)
  for (const { epoch, duplicates, missing } of summary.coverage)
    if (duplicates + missing > 0)
      invariants.violated(`epoch ${epoch}: ${duplicates} samples used twice, ${missing} not at all`)
}
