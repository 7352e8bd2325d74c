import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { resolveConfig, usage } from '../../shared/core/config.ts'
import type { BackendName } from '../../worker/backend/open-backend.ts'
import { chosenBackend } from '../native-setup.ts'
import { faultTimeout, runRequest } from '../run-options.ts'
import type { Fault } from './plan.ts'
import { imagesPerWallSecond, type ProcessRun, runProcesses, stepsLost } from './process-run.ts'
import { phasesOf, type Verdict } from './verdict.ts'

interface Settings {
  readonly seed: number
  readonly workers: number
  readonly faults: readonly Fault[]
  readonly backend: BackendName
  /** Told what goes on. */
  readonly tell: (line: string) => void
}

/** Trains twice with real processes, undisturbed and under faults, and compares. */
export async function chaosOfProcesses(
  parsed: Readonly<Record<string, unknown>>,
  { seed, workers, faults, backend, tell }: Settings,
): Promise<Verdict> {
  const inside = faults.find(
    (fault) => ['nan', 'flip'].includes(fault.kind) || (fault.kind === 'kill' && fault.point !== undefined),
  )
  if (inside) throw usage(`--plan: ${JSON.stringify(inside)} is for simulations only; add --simulate`)
  const reproducible = parsed.reproducible !== false
  const base = resolve(String(parsed.runDir ?? join('runs', `chaos-${seed}`)))
  if (existsSync(base)) throw usage(`${base} is there already; write another --run-dir`)
  const maxWorkers = workers + faults.filter(({ kind }) => kind === 'join').length
  const request = (name: string) => {
    const options = { ...parsed, reproducible, steps: parsed.epochs === undefined ? parsed.steps : undefined }
    return { ...runRequest(options, false, { minWorkers: 1, maxWorkers }), runDir: join(base, name) }
  }
  resolveConfig(request('faults').options)
  const chosen = await chosenBackend(backend)
  const run = (name: string, some: readonly Fault[]): Promise<ProcessRun> => {
    const coordinator = {
      bind: 'tcp://127.0.0.1:0',
      http: '127.0.0.1:0',
      httpFallBack: true,
      json: false,
      verbosity: 'quiet' as const,
    }
    const settings = { ...coordinator, startWorkers: workers, faultMs: faultTimeout(parsed), tokenFile: null }
    const runDir = join(base, name)
    return runProcesses(
      { engines: [{ backend: chosen, device: null }], threads: 1 },
      { ...settings, request: request(name), runDir },
      some,
    )
  }
  tell(`undisturbed, for comparison: ${join(base, 'undisturbed')}`)
  const undisturbed = await run('undisturbed', [])
  tell(`under ${faults.length} faults: ${join(base, 'faults')}`)
  const disturbed = await run('faults', faults)
  return compare({ seed, workers, faults, reproducible }, undisturbed, disturbed)
}

function compare(
  about: Pick<Settings, 'seed' | 'workers' | 'faults'> & { reproducible: boolean },
  undisturbed: ProcessRun,
  disturbed: ProcessRun,
): Verdict {
  const { reproducible, ...rest } = about
  const { summary, fired, events, metrics, seconds } = disturbed
  const [rate, referenceRate] = [imagesPerWallSecond(metrics), imagesPerWallSecond(undisturbed.metrics)]
  const referenceSha256 = reproducible ? (undisturbed.summary?.weightsSha256 ?? null) : null
  const violations: string[] = []
  if (undisturbed.summary?.status !== 'completed') violations.push(`undisturbed: ${undisturbed.summary?.reason}`)
  if (summary?.status !== 'completed') violations.push(`${summary?.status ?? 'no summary'}: ${summary?.reason}`)
  if (reproducible && summary?.weightsSha256 !== referenceSha256) violations.push('the weights are not the same')
  const coverage = (summary?.coverage ?? []).slice(0, Math.floor(summary?.epochs ?? 0))
  for (const { epoch, duplicates, missing } of coverage)
    if (duplicates + missing > 0) violations.push(`epoch ${epoch}: ${duplicates} samples twice, ${missing} not at all`)
  const lost = stepsLost(events)
  const steps = metrics.map(({ step }) => Number(step))
  if (lost === 0 && new Set(steps).size !== steps.length) violations.push('a step stands twice in metrics.jsonl')
  const incidents = summary?.incidents ?? []
  return {
    ...{ passed: violations.length === 0, mode: 'processes', ...rest, fired, violations },
    ...{ stepsLost: lost, coverage },
    ...{ weightsSha256: summary?.weightsSha256 ?? null, referenceSha256 },
    goodput: rate === null || referenceRate === null ? null : rate / referenceRate,
    ...{ incidents: incidents.length, phases: phasesOf(incidents), seconds },
  }
}
