import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { assert, exitCode } from '../../shared/core/errors.ts'
import type { BackendName } from '../../worker/backend/open-backend.ts'
import { threadsPerWorker } from '../native-setup.ts'
import type { FromCoordinatorProcess, ToCoordinatorProcess, ToWorkerProcess } from './messages.ts'
import { Restarts } from './restarts.ts'

interface WorkerSettings {
  readonly backend: BackendName
  readonly threads: number | null
}

/** The processes of one `train`, watched over. They end with this one: their IPC channel closes. */
export class LocalGroup {
  readonly #workers = new Map<string, ChildProcess>()
  readonly #restarts = new Map<string, Restarts>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #settings: WorkerSettings
  #coordinator: ChildProcess | null = null
  #over = false
  #stopping = false
  #folder = 'RUN_DIR'

  constructor(settings: WorkerSettings) {
    this.#settings = settings
  }

  async run(start: ToCoordinatorProcess): Promise<number> {
    const coordinator = fork(new URL('./coordinator-process.js', import.meta.url), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#coordinator = coordinator
    this.#handleSignals()
    const exit = exited(coordinator)
    coordinator.send(start)
    coordinator.on('message', (message: FromCoordinatorProcess) => this.#startWorkers(message))
    const { code, signal } = await exit
    this.#over = true
    for (const timer of this.#timers) clearTimeout(timer)
    await this.#endWorkers()
    if (signal === null) return code ?? exitCode.failed
    process.stderr.write(
      `ringleader: the coordinator was ended by ${signal}; go on with: ringleader train --resume ${this.#folder}\n`,
    )
    return exitCode.failed
  }

  #startWorkers(listening: FromCoordinatorProcess): void {
    this.#folder = listening.folder
    for (let index = 0; index < listening.workers; index++) this.#startWorker(`worker-${index}`, listening)
  }

  #startWorker(workerId: string, listening: FromCoordinatorProcess): void {
    const { backend, threads } = this.#settings
    const worker = fork(new URL('./worker-process.js', import.meta.url), {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#workers.set(workerId, worker)
    const restarts = this.#restarts.get(workerId) ?? new Restarts()
    this.#restarts.set(workerId, restarts)
    restarts.started(performance.now())
    const options = {
      coordinator: listening.endpoint,
      workerId,
      backend,
      threads: listening.threads ?? threads ?? threadsPerWorker(listening.workers),
      dataBind: 'tcp://127.0.0.1:0',
      connectTimeoutMs: 30_000,
      reconnectTimeoutMs: 600_000,
    }
    worker.send({ kind: 'start', options } satisfies ToWorkerProcess)
    void exited(worker).then((exit) => this.#workerExited(workerId, exit, restarts, listening))
  }

  #workerExited(workerId: string, exit: Exit, restarts: Restarts, listening: FromCoordinatorProcess): void {
    this.#workers.delete(workerId)
    if (exit.code === 0 || this.#over) return
    const reason =
      exit.signal === null ? `its process exited with ${exit.code}` : `its process was ended by ${exit.signal}`
    this.#tell({ kind: 'workerExited', workerId, reason })
    const delayMs = this.#stopping ? null : restarts.delayMs(performance.now())
    if (delayMs !== null) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        if (!this.#over) this.#startWorker(workerId, listening)
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
  #handleSignals(): void {
    const handle = () => {
      if (this.#stopping) {
        for (const child of [this.#coordinator, ...this.#workers.values()]) child?.kill('SIGKILL')
        process.exit(exitCode.interrupted)
      }
      this.#stopping = true
      process.stderr.write('\nringleader: finishing the step and saving; Ctrl-C once more to leave at once\n')
      this.#tell({ kind: 'stop' })
    }
    process.on('SIGINT', handle)
    process.on('SIGTERM', handle)
  }

  #tell(message: ToCoordinatorProcess): void {
    if (this.#coordinator?.connected) this.#coordinator.send(message)
  }
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
