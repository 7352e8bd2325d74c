import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { assert, exitCode } from '../../shared/core/errors.ts'
import type { WorkerOptions } from '../../worker/main.ts'
import { besideData } from '../../worker/metrics/metrics-server.ts'
import type { Engine } from '../device.ts'
import { threadsPerWorker } from '../native-setup.ts'
import type { CoordinatorSettings } from '../run-coordinator.ts'
import { levelOf, type Verbosity } from '../verbosity.ts'
import type { FromCoordinatorProcess, ToCoordinatorProcess, ToWorkerProcess } from './messages.ts'
import { Restarts } from './restarts.ts'
import { WorkerOutput } from './worker-output.ts'

/** Where a worker finds the coordinator, listens, and is found. */
export type WorkerPlace = Pick<WorkerOptions, 'coordinator' | 'dataBind' | 'advertise'>

interface LocalGroupSettings {
  /** What the workers compute with, in turns. */
  readonly engines: readonly Engine[]
  readonly threads: number | null
  /** Nothing but errors is printed. */
  readonly quiet?: boolean
  /** Descriptor of a file that the coordinator prints to, instead of here. */
  readonly output?: number
  /** Another network than plain loopback. */
  place?(workerId: string, coordinator: string): Promise<WorkerPlace>
}

const shownWords = 200

/** The processes of one `train`, watched over. They end with this one: their IPC channel closes. */
export class LocalGroup {
  readonly #workers = new Map<string, ChildProcess>()
  readonly #restarts = new Map<string, Restarts>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #settings: LocalGroupSettings
  #coordinator: ChildProcess | null = null
  #over = false
  #stopping = false
  #listening: FromCoordinatorProcess | null = null
  #verbosity: Verbosity = 'normal'
  /** Ends of workers that no coordinator was there to hear of. */
  readonly #untold: ToCoordinatorProcess[] = []

  constructor(settings: LocalGroupSettings) {
    this.#settings = settings
  }

  /** Runs until the run is over; a coordinator that is killed is started again on the same addresses. */
  async run(settings: CoordinatorSettings): Promise<number> {
    this.#verbosity = settings.verbosity
    const ignoreSignals = this.#handleSignals()
    try {
      return await this.#runToTheEnd(settings)
    } finally {
      ignoreSignals()
    }
  }

  async #runToTheEnd(settings: CoordinatorSettings): Promise<number> {
    const restarts = new Restarts()
    for (let current = settings; ; ) {
      restarts.started(performance.now())
      const { code, signal } = await this.#coordinate(current)
      const before = this.#listening
      const delayMs = signal === null ? null : restarts.delayMs(performance.now(), signal === 'SIGKILL')
      if (delayMs === null || before === null || this.#stopping) return this.#finish(code, signal)
      process.stderr.write(`ringleader: the coordinator was ended by ${signal}; it is started again\n`)
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      current = takeOver(settings, before)
    }
  }

  async #coordinate(settings: CoordinatorSettings): Promise<Exit> {
    const { quiet, output } = this.#settings
    const shown = output ?? (quiet ? 'ignore' : 'inherit')
    const coordinator = fork(new URL('./coordinator-process.js', import.meta.url), {
      stdio: ['ignore', shown, shown, 'ipc'],
    })
    this.#coordinator = coordinator
    coordinator.send({ kind: 'start', settings } satisfies ToCoordinatorProcess)
    coordinator.on('message', (message: FromCoordinatorProcess) => this.#isListening(message))
    return exited(coordinator)
  }

  #isListening(listening: FromCoordinatorProcess): void {
    const first = this.#listening === null
    this.#listening = listening
    const { startWorkers, workers } = listening
    if (first) for (let index = 0; index < (startWorkers ?? workers); index++) void this.#startWorker(`worker-${index}`)
    for (const exit of this.#untold.splice(0)) this.#tell(exit)
    if (this.#stopping) this.#tell({ kind: 'stop' })
  }

  async #finish(code: number | null, signal: NodeJS.Signals | null): Promise<number> {
    this.#over = true
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#endWorkers()
    if (signal === null) return code ?? exitCode.failed
    const folder = this.#listening?.folder ?? 'RUN_DIR'
    process.stderr.write(
      `ringleader: the coordinator was ended by ${signal}; go on with: ringleader train --resume ${folder}\n`,
    )
    return exitCode.failed
  }

  /** Of a worker or, without a name, of the coordinator; null where it does not run. */
  processId(workerId?: string): number | null {
    const child = workerId === undefined ? this.#coordinator : this.#workers.get(workerId)
    return child?.exitCode === null && child.signalCode === null ? (child.pid ?? null) : null
  }

  /** Asks a worker to leave at the next step boundary. */
  drain(workerId: string): void {
    this.#workers.get(workerId)?.send({ kind: 'drain', reason: 'asked to leave' } satisfies ToWorkerProcess)
  }

  /** Finishes the step, saves, and ends the run. */
  stop(): void {
    this.#stopping = true
    this.#tell({ kind: 'stop' })
  }

  async addWorker(workerId: string): Promise<void> {
    await this.#startWorker(workerId)
  }

  async #startWorker(workerId: string): Promise<void> {
    const listening = this.#listening
    assert(listening, 'workers are started once the coordinator listens')
    const { engines, threads } = this.#settings
    const turn = Number(/\d+$/.exec(workerId)?.[0] ?? 0) % engines.length // the same when it is started again
    const computes = engines[turn]
    assert(computes, 'there is a place for each worker')
    const plain = { coordinator: listening.endpoint, dataBind: 'tcp://127.0.0.1:0', advertise: null }
    const place = (await this.#settings.place?.(workerId, listening.endpoint)) ?? plain
    const worker = fork(new URL('./worker-process.js', import.meta.url), {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    assert(worker.stderr, 'its stderr is a pipe')
    const output = new WorkerOutput(worker.stderr, listening.folder, workerId, this.#verbosity)
    this.#workers.set(workerId, worker)
    const restarts = this.#restarts.get(workerId) ?? new Restarts()
    this.#restarts.set(workerId, restarts)
    restarts.started(performance.now())
    const options = {
      ...place,
      metrics: besideData(place.dataBind),
      log: { level: levelOf(this.#verbosity), format: 'json' } as const,
      workerId,
      ...computes,
      threads: listening.threads ?? threads ?? threadsPerWorker(listening.startWorkers ?? listening.workers),
      connectTimeoutMs: 30_000,
      reconnectTimeoutMs: 600_000,
    }
    worker.send({ kind: 'start', options } satisfies ToWorkerProcess)
    void exited(worker).then((exit) =>
      this.#workerExited({ workerId, processId: worker.pid ?? 0 }, exit, restarts, output),
    )
  }

  #workerExited(
    { workerId, processId }: { workerId: string; processId: number },
    exit: Exit,
    restarts: Restarts,
    output: WorkerOutput,
  ): void {
    this.#workers.delete(workerId)
    if (exit.code === 0 || this.#over) return
    const how = exit.signal === null ? `exited with ${exit.code}` : `was ended by ${exit.signal}`
    const { lastWords } = output // as far as they are read: the others must not wait
    const words =
      exit.signal === 'SIGKILL' || lastWords === null ? '' : `; its last words: ${lastWords.slice(0, shownWords)}`
    const reason = `its process ${how}${words}`
    output.ended(reason)
    this.#tell({ kind: 'workerExited', workerId, processId, reason })
    const delayMs = this.#stopping ? null : restarts.delayMs(performance.now(), exit.signal === 'SIGKILL')
    if (delayMs !== null) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        if (!this.#over) void this.#startWorker(workerId)
      }, delayMs)
      this.#timers.add(timer)
    } else if (this.#workers.size === 0 && this.#timers.size === 0)
      this.#tell({ kind: 'giveUp', reason: `no worker comes up any more; the last one, ${workerId}: ${reason}` })
  }

  /** Workers hear the coordinator's goodbye; those that do not go are ended. */
  async #endWorkers(): Promise<void> {
    const left = [...this.#workers.values()]
    const patience = setTimeout(() => {
      for (const worker of left) worker.kill('SIGKILL')
    }, 5000)
    await Promise.all(left.map(exited))
    clearTimeout(patience)
  }

  /** First Ctrl-C: finish the step, checkpoint, leave. Second: leave at once. */
  #handleSignals(): () => void {
    const handle = () => {
      if (this.#stopping) {
        for (const child of [this.#coordinator, ...this.#workers.values()]) child?.kill('SIGKILL')
        process.exit(exitCode.interrupted)
      }
      process.stderr.write('\nringleader: finishing the step and saving; Ctrl-C once more to leave at once\n')
      this.stop()
    }
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, handle)
    return () => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, handle)
    }
  }

  #tell(message: ToCoordinatorProcess): void {
    if (this.#coordinator?.connected && this.#coordinator.signalCode === null) this.#coordinator.send(message)
    else if (message.kind !== 'stop') this.#untold.push(message)
  }
}

/** The same run, from its folder, on the addresses that its workers know. */
function takeOver(
  settings: CoordinatorSettings,
  { folder, endpoint, http }: FromCoordinatorProcess,
): CoordinatorSettings {
  const request = { ...settings.request, options: {}, runDir: null, name: null, resume: folder, takeOver: true }
  return { ...settings, request, bind: endpoint, http }
}

interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

async function exited(child: ChildProcess): Promise<Exit> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  assert(child.exitCode !== null || child.signalCode !== null, 'a child that exited has a code or a signal')
  return { code: child.exitCode, signal: child.signalCode }
}
