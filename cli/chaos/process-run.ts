import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Summary } from '../../coordinator/summary.ts'
import { readJsonLines } from '../../shared/core/json-lines.ts'
import { LocalGroup } from '../process/local-group.ts'
import { Steps } from '../process/steps.ts'
import type { CoordinatorSettings } from '../run-coordinator.ts'
import type { Fault } from './plan.ts'
import { WorkerNetwork } from './worker-network.ts'

const lookMs = 10
/** Of a slow worker: it is stopped for a part of every such time. */
const slowMs = 20

export interface ProcessRun {
  readonly summary: Summary | null
  readonly fired: readonly Fault[]
  /** events.jsonl and metrics.jsonl */
  readonly events: readonly Record<string, unknown>[]
  readonly metrics: readonly Record<string, unknown>[]
  readonly seconds: number
}

/** One run of real processes, under faults. */
export async function runProcesses(
  group: ConstructorParameters<typeof LocalGroup>[0],
  settings: CoordinatorSettings & { readonly runDir: string },
  faults: readonly Fault[],
): Promise<ProcessRun> {
  const network = new WorkerNetwork()
  const started = performance.now()
  const local = new LocalGroup({
    ...group,
    quiet: true,
    place: (workerId, coordinator) => network.place(workerId, coordinator),
  })
  const injector = new Injector(local, network, new Steps(settings.runDir), faults)
  const timer = setInterval(() => injector.look(performance.now()), lookMs)
  try {
    await local.run(settings)
  } finally {
    clearInterval(timer)
    injector.end()
    network.close()
  }
  const summary = join(settings.runDir, 'summary.json')
  return {
    summary: existsSync(summary) ? (JSON.parse(readFileSync(summary, 'utf8')) as Summary) : null,
    fired: injector.fired,
    events: readJsonLines(join(settings.runDir, 'events.jsonl')),
    metrics: readJsonLines(join(settings.runDir, 'metrics.jsonl')),
    seconds: (performance.now() - started) / 1000,
  }
}

/** Lets faults happen when they are due, and ends them. */
class Injector {
  readonly fired: Fault[] = []
  readonly #group: LocalGroup
  readonly #network: WorkerNetwork
  readonly #steps: Steps
  #waiting: readonly Fault[]
  /** Work for later, by when it is due. */
  #later: { at: number; work: () => void }[] = []
  #firstStepAt: number | null = null
  #over = false

  constructor(group: LocalGroup, network: WorkerNetwork, steps: Steps, faults: readonly Fault[]) {
    this.#group = group
    this.#network = network
    this.#steps = steps
    this.#waiting = faults
  }

  look(now: number): void {
    const step = this.#steps.look()
    if (step > 0) this.#firstStepAt ??= now
    const seconds = (now - (this.#firstStepAt ?? now)) / 1000
    const due = ({ at }: Fault) => step > 0 && ('step' in at ? step >= at.step : seconds >= at.seconds)
    for (const fault of this.#waiting.filter(due)) if (this.#fire(fault, now)) this.fired.push(fault)
    this.#waiting = this.#waiting.filter((fault) => !due(fault))
    const ripe = this.#later.filter(({ at }) => at <= now)
    this.#later = this.#later.filter(({ at }) => at > now)
    for (const { work } of ripe) work()
  }

  /** What is stopped has to go on, to end. */
  end(): void {
    this.#over = true
    for (const { work } of this.#later) work()
    this.#later = []
  }

  /** False where there is nobody that it could happen to. */
  #fire(fault: Fault, now: number): boolean {
    const after = (seconds: number, work: () => void) => this.#later.push({ at: now + seconds * 1000, work })
    if (fault.kind === 'nan' || fault.kind === 'flip') return false
    if (fault.kind === 'coordinator-kill') return signal(this.#group.processId(), 'SIGKILL')
    if (fault.kind === 'disk-full') {
      const processId = this.#group.processId()
      if (processId === null || !limitFiles(processId, '0')) return false
      after(fault.seconds, () => void limitFiles(processId, 'unlimited'))
      return true
    }
    if (fault.kind === 'join') {
      void this.#group.addWorker(fault.worker)
      return true
    }
    const processId = this.#group.processId(fault.worker)
    if (processId === null) return false
    switch (fault.kind) {
      case 'kill':
        return signal(processId, 'SIGKILL')
      case 'stop':
        if (fault.seconds !== undefined) after(fault.seconds, () => void signal(processId, 'SIGCONT'))
        return signal(processId, 'SIGSTOP')
      case 'cont':
        return signal(processId, 'SIGCONT')
      case 'slow':
        this.#slow(processId, fault.factor, now + fault.seconds * 1000)
        return true
      case 'partition':
        after(fault.seconds, this.#network.cut(fault.worker, fault.from))
        return true
      case 'drop':
        this.#network.reset(fault.worker)
        return true
      case 'delay':
        this.#network.delay(fault.worker, fault.ms)
        after(fault.seconds, () => this.#network.delay(fault.worker, 0))
        return true
      case 'leave':
        this.#group.drain(fault.worker)
        return true
      default:
        return fault satisfies never
    }
  }

  /** It runs for `1 / factor` of the time. */
  #slow(processId: number, factor: number, until: number): void {
    const round = (now: number): void => {
      if (this.#over || now >= until || !signal(processId, 'SIGSTOP')) return
      this.#later.push({ at: now + slowMs * (factor - 1), work: () => void signal(processId, 'SIGCONT') })
      this.#later.push({ at: now + slowMs * factor, work: () => round(performance.now()) })
    }
    round(performance.now())
  }
}

/** False where the process has ended. */
function signal(processId: number | null, name: NodeJS.Signals): boolean {
  if (processId === null) return false
  try {
    return process.kill(processId, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** Every write to a file fails from here on (EFBIG), as on a disk without room. */
function limitFiles(processId: number, bytes: string): boolean {
  return spawnSync('prlimit', ['--pid', String(processId), `--fsize=${bytes}:`], { stdio: 'ignore' }).status === 0
}

/** Steps that had to be taken again because nobody held their state. */
export function stepsLost(events: ProcessRun['events']): number {
  return events.reduce(
    (sum, { kind, lost, reason }) => (kind === 'rewound' && reason !== 'roll-back' ? sum + Number(lost) : sum),
    0,
  )
}

/** Committed images for each second of wall time, from the first line of the metrics to the last. */
export function imagesPerWallSecond(metrics: ProcessRun['metrics']): number | null {
  const [first, ...rest] = metrics
  const last = rest.at(-1)
  if (!first || !last) return null
  const seconds = (Date.parse(String(last.time)) - Date.parse(String(first.time))) / 1000
  return rest.reduce((sum, { images }) => sum + Number(images), 0) / seconds
}
