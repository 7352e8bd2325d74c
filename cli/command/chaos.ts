import { usage } from '../../shared/core/config.ts'
import { exitCode } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { chaosOfProcesses } from '../chaos/chaos-processes.ts'
import { type Fault, type FaultKind, planFromSeed, readPlan } from '../chaos/plan.ts'
import { phasesOf, toldVerdict, type Verdict } from '../chaos/verdict.ts'
import { backendFlag, checkedBackend } from '../device.ts'
import type { Command } from '../parse.ts'
import { faultTimeoutFlag, runFlags } from '../run-options.ts'
import { type Simulated, simulate } from '../simulation/simulate.ts'
import { wholeNumber } from '../values.ts'

const commonKinds = [
  ...(['kill', 'stop', 'slow', 'partition', 'drop', 'delay', 'coordinator-kill', 'join', 'leave'] as const),
] satisfies FaultKind[]
const kindsOf = {
  simulation: [...commonKinds, 'nan', 'flip'],
  processes: [...commonKinds, 'disk-full'],
} satisfies Record<string, FaultKind[]>
const stepsPerEpoch = 6

const { name: _, resume: __, config: ___, seed: ____, 'allow-changes': _____, ...chosenRunFlags } = runFlags
type Parsed = Readonly<Record<string, unknown>>

export const chaosCommand: Command = {
  name: 'chaos',
  summary: 'a training under faults, with a verdict',
  example: 'ringleader chaos --model vae --steps 300 --workers 3 --seed 7',
  flags: {
    plan: { type: 'string', describe: 'YAML or JSON file with the faults (default: faults that follow from the seed)' },
    seed: { type: 'number', describe: 'seed of the faults and of the run', default: 1 },
    faults: { type: 'number', describe: 'number of faults, where the seed decides', default: 5 },
    kinds: { type: 'string', describe: 'kinds of faults that the seed may choose, with commas between them' },
    workers: { type: 'number', describe: 'workers (default: 3; with --simulate, 1 to 9 by the seed)' },
    backend: backendFlag,
    'fault-timeout': faultTimeoutFlag,
    ...chosenRunFlags,
    steps: { type: 'number', describe: 'steps of the run', default: 60 },
    reproducible: { ...runFlags.reproducible, describe: 'compare the weights bit for bit', default: true },
    trace: {
      ...runFlags.trace,
      describe: `${runFlags.trace.describe}; with --simulate: tell what happens, line by line`,
    },
    'run-dir': { ...runFlags['run-dir'], describe: 'folder for both runs (default: runs/chaos-SEED)' },
    simulate: { type: 'boolean', describe: 'on virtual time, with a toy model, in this process', default: false },
    runs: { type: 'number', describe: 'with --simulate: so many seeds, one after the other', default: 1 },
    json: { type: 'boolean', describe: 'print a JSON object for each run', default: false },
  },
  async run(parsed) {
    const seed = wholeNumber('seed', parsed.seed, 0, Number.MAX_SAFE_INTEGER)
    const runs = wholeNumber('runs', parsed.runs, 1, 1_000_000)
    const onVirtualTime = parsed.simulate === true
    if (!onVirtualTime && runs > 1) throw usage('--runs goes with --simulate; leave it out')
    let failed = 0
    for (let index = 0; index < runs; index++) {
      const verdict = await (onVirtualTime ? simulated(parsed, seed + index) : processes(parsed, seed))
      if (!verdict.passed) failed++
      process.stdout.write(parsed.json === true ? `${JSON.stringify(verdict)}\n` : told(verdict, runs))
      if (onVirtualTime && !verdict.passed)
        process.stderr.write(`ringleader: replay with: ${replay(parsed, seed + index)}\n`)
    }
    if (runs > 1) process.stderr.write(`${runs} runs, ${failed} failed\n`)
    return failed === 0 ? exitCode.ok : exitCode.failed
  },
}

function processes(parsed: Parsed, seed: number): Promise<Verdict> {
  const workers = wholeNumber('workers', parsed.workers ?? 3, 1, limits.maxLocalWorkers)
  const steps = wholeNumber('steps', parsed.steps, 1, 100_000_000)
  const faults = plan(parsed, { seed, workers, steps }, 'processes')
  const backend = checkedBackend(parsed.backend)
  const tell = (line: string) => void process.stderr.write(`ringleader: ${line}\n`)
  return chaosOfProcesses(parsed, { seed, workers, faults, backend, tell })
}

async function simulated(parsed: Parsed, seed: number): Promise<Verdict> {
  const workers =
    parsed.workers === undefined ? 1 + (seed % 9) : wholeNumber('workers', parsed.workers, 1, limits.maxLocalWorkers)
  const steps = wholeNumber('steps', parsed.steps, stepsPerEpoch, 100_000)
  if (steps % stepsPerEpoch > 0)
    throw usage(`--steps ${steps}: with --simulate an epoch has 6 steps; write whole epochs`)
  const options = { seed, workers, steps, reproducible: seed % 2 === 0 }
  const faults = plan(parsed, { seed, workers, steps }, 'simulation')
  const trace = parsed.trace === true ? (line: string) => void process.stderr.write(`${line}\n`) : null
  const undisturbed = await simulate({ ...options, faults: faults.filter(({ kind }) => kind === 'nan') })
  const run = await simulate({ ...options, faults, bits: undisturbed.bits, ...(trace ? { trace } : {}) })
  return verdictOf(run, undisturbed)
}

function plan(
  parsed: Parsed,
  { seed, workers, steps }: { seed: number; workers: number; steps: number },
  mode: Verdict['mode'],
): Fault[] {
  const possible: readonly FaultKind[] = kindsOf[mode]
  if (typeof parsed.plan === 'string') {
    const faults = readPlan(parsed.plan, seed, workers)
    const other = faults.find(({ kind }) => !possible.includes(kind) && kind !== 'cont')
    if (!other) return faults
    const cure = mode === 'simulation' ? 'leave out --simulate' : 'add --simulate'
    throw usage(`--plan ${parsed.plan}: there is no ${other.kind} in this mode; ${cure}`)
  }
  const usual = possible.filter((kind) => kind !== 'flip') // which changes what is computed
  const names = typeof parsed.kinds === 'string' ? parsed.kinds.split(',') : usual
  const kinds = names.map((name) => {
    const kind = possible.find((known) => known === name)
    if (!kind) throw usage(`--kinds ${name}: write some of ${possible.join(',')}`)
    return kind
  })
  const faults = planFromSeed(seed, { kinds, faults: wholeNumber('faults', parsed.faults, 0, 1000), workers, steps })
  // Moments within a step are a matter of simulations.
  return mode === 'simulation' ? faults : faults.map((fault) => (fault.kind === 'kill' ? withoutPoint(fault) : fault))
}

function withoutPoint({ point: _, ...fault }: Extract<Fault, { kind: 'kill' }>): Fault {
  return fault
}

function verdictOf(run: Simulated, undisturbed: Simulated): Verdict {
  const { seed, workers, faults, fired, summary } = run
  const violations = [...undisturbed.violations.map((violation) => `undisturbed: ${violation}`), ...run.violations]
  return {
    ...{ passed: violations.length === 0, mode: 'simulation', seed, workers, faults, fired, violations },
    ...{ stepsLost: run.stepsLost, coverage: summary?.coverage ?? [] },
    ...{ weightsSha256: summary?.weightsSha256 ?? null, referenceSha256: undisturbed.summary?.weightsSha256 ?? null },
    goodput: summary && undisturbed.summary ? summary.imagesPerSecond / undisturbed.summary.imagesPerSecond : null,
    ...{ incidents: run.incidents.length, phases: phasesOf(run.incidents), seconds: run.virtualMs / 1000 },
  }
}

/** One line for each of many runs; the whole verdict where there is one, or where it failed. */
function told(verdict: Verdict, runs: number): string {
  const text = toldVerdict(verdict)
  return runs === 1 || !verdict.passed ? text : `${text.split('\n')[0]}, ${verdict.fired.length} faults\n`
}

function replay(parsed: Parsed, seed: number): string {
  const flags = ['plan', 'faults', 'kinds', 'workers', 'steps'].flatMap((flag) =>
    parsed[flag] === undefined ? [] : [`--${flag} ${String(parsed[flag])}`],
  )
  return ['ringleader chaos --simulate --trace', `--seed ${seed}`, ...flags].join(' ')
}
