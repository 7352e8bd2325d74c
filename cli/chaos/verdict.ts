import type { Incident } from '../../coordinator/run-folder.ts'
import type { EpochCoverage } from '../../coordinator/schedule/ledger.ts'
import type { Fault } from './plan.ts'

interface Spread {
  readonly median: number
  readonly max: number
}

/** What a run under faults comes to. */
export interface Verdict {
  readonly passed: boolean
  readonly mode: 'simulation' | 'processes'
  readonly seed: number
  readonly workers: number
  readonly faults: readonly Fault[]
  /** Those that took place; the rest found nobody to take place on. */
  readonly fired: readonly Fault[]
  /** What should never be, and was. */
  readonly violations: readonly string[]
  /** Committed steps that had to be taken again, because nobody held their state any more. */
  readonly stepsLost: number
  /** Of the epochs that were run to their end. */
  readonly coverage: readonly EpochCoverage[]
  readonly weightsSha256: string | null
  /** Of the run without faults. */
  readonly referenceSha256: string | null
  /** Images a second of stepping, in parts of that of the run without faults. */
  readonly goodput: number | null
  readonly incidents: number
  /** Milliseconds of the incidents: until noticed, until the others were a group again, until it had committed a step. */
  readonly phases: Readonly<Record<'detectMs' | 'reformMs' | 'firstCommitMs' | 'totalMs', Spread | null>>
  /** Of wall time; in a simulation, of virtual time. */
  readonly seconds: number
}

export function phasesOf(incidents: readonly Incident[]): Verdict['phases'] {
  const spread = (of: (incident: Incident) => number | null) => {
    const values = incidents.flatMap((incident) => of(incident) ?? []).sort((a, b) => a - b)
    const max = values.at(-1)
    return max === undefined ? null : { median: values[Math.floor(values.length / 2)] ?? max, max }
  }
  return {
    detectMs: spread(({ detectMs }) => detectMs),
    reformMs: spread(({ reformMs }) => reformMs),
    firstCommitMs: spread(({ firstCommitMs }) => firstCommitMs),
    totalMs: spread(({ detectMs, reformMs, firstCommitMs }) =>
      detectMs === null || reformMs === null || firstCommitMs === null ? null : detectMs + reformMs + firstCommitMs,
    ),
  }
}

/** A verdict for people. */
export function toldVerdict(verdict: Verdict): string {
  const { passed, mode, seed, workers, faults, fired, violations, stepsLost, coverage, goodput, phases } = verdict
  const kinds = [...new Set(fired.map(({ kind }) => kind))].join(', ')
  const misused = coverage.reduce((sum, { duplicates, missing }) => sum + duplicates + missing, 0)
  const same = verdict.weightsSha256 !== null && verdict.weightsSha256 === verdict.referenceSha256
  const reference = verdict.referenceSha256 === null ? 'not compared' : same ? 'same as undisturbed' : 'NOT THE SAME'
  const lines = [
    `${passed ? 'PASSED' : 'FAILED'}: seed ${seed}, ${workers} workers, ${mode}, ${verdict.seconds.toFixed(1)} s${mode === 'simulation' ? ' of virtual time' : ''}`,
    `  faults      ${fired.length} of ${faults.length} fired${kinds === '' ? '' : ` (${kinds})`}`,
    `  steps lost  ${stepsLost}`,
    `  coverage    ${coverage.length} whole epochs, ${misused} samples used twice or not at all`,
    `  weights     ${verdict.weightsSha256?.slice(0, 16) ?? 'none'}: ${reference}`,
    ...(goodput === null ? [] : [`  goodput     ${(goodput * 100).toFixed(1)} % of undisturbed`]),
    `  incidents   ${verdict.incidents}`,
    ...Object.entries(phases).flatMap(([name, spread]) =>
      spread ? [`  ${name.padEnd(12)}${spread.median} median, ${spread.max} worst`] : [],
    ),
    ...violations.map((violation) => `  violation   ${violation}`),
  ]
  return `${lines.join('\n')}\n`
}
