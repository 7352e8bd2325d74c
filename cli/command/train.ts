import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { resolveConfig } from '../../shared/core/config.ts'
import { assert, exitCode } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import type { BackendName } from '../../worker/backend/open-backend.ts'
import { prepareNative, threadsPerWorker } from '../native-setup.ts'
import type { Command } from '../parse.ts'
import type { FromCoordinatorProcess, ToCoordinatorProcess, ToWorkerProcess } from '../process/messages.ts'
import { httpFlag, jsonFlag, runFlags, runRequest } from '../run-options.ts'
import { hostAndPort, wholeNumber } from '../values.ts'
import { backendFlag, checkedBackend, checkedThreads, threadsFlag } from './worker.ts'

export const trainCommand: Command = {
  name: 'train',
  summary: 'a coordinator and N local workers in one go',
  example: 'ringleader train --model vae --epochs 10 --workers 2',
  flags: {
    workers: { type: 'number', describe: 'worker processes on this host (default: 2)' },
    backend: backendFlag,
    threads: { ...threadsFlag, describe: 'threads of each worker (default: the cores, shared out)' },
    http: {
      ...httpFlag,
      default: undefined,
      describe: 'address for /metrics and /api/status (default: 127.0.0.1:9464, or any free port)',
    },
    json: jsonFlag,
    ...runFlags,
  },
  async run(parsed) {
    const request = runRequest(parsed, workerCount(parsed))
    if (request.resume === null) resolveConfig(request.options)
    const backend = checkedBackend(parsed.backend)
    const threads = parsed.threads === undefined ? null : checkedThreads(parsed.threads, 1)
    const http = parsed.http === undefined ? httpFlag.default : String(parsed.http)
    hostAndPort(http)
    const settings = {
      request,
      bind: 'tcp://127.0.0.1:0',
      http,
      httpFallBack: parsed.http === undefined,
      json: parsed.json === true,
    }
    const chosen: BackendName =
      backend === 'wasm'
        ? 'wasm'
        : (await prepareNative(false))
          ? 'tensorflow'
          : backend === 'tensorflow'
            ? 'tensorflow'
            : 'wasm'
    return new LocalGroup().run({ kind: 'start', settings }, { backend: chosen, threads })
  },
}

function workerCount(parsed: Readonly<Record<string, unknown>>): { minWorkers?: number; maxWorkers?: number } {
  const given = parsed.workers
  if (given === undefined) return parsed.resume === undefined ? { minWorkers: 2, maxWorkers: 2 } : {}
  const workers = wholeNumber('workers', given, 1, limits.maxWorkers)
  return { minWorkers: workers, maxWorkers: workers }
}

/** The processes of one `train`. They end with this one: their IPC channel closes. */
class LocalGroup {
  readonly #workers = new Map<string, ChildProcess>()
  #coordinator: ChildProcess | null = null
  #stopping = false
  #folder = 'RUN_DIR'

  async run(start: ToCoordinatorProcess, workers: { backend: BackendName; threads: number | null }): Promise<number> {
    const coordinator = fork(new URL('../process/coordinator-process.js', import.meta.url), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.#coordinator = coordinator
    this.#handleSignals()
    const exit = exited(coordinator)
    coordinator.send(start)
    coordinator.on('message', (message: FromCoordinatorProcess) => this.#startWorkers(message, workers))
    const { code, signal } = await exit
    await this.#endWorkers()
    if (signal === null) return code ?? exitCode.failed
    process.stderr.write(
      `ringleader: the coordinator was ended by ${signal}; go on with: ringleader train --resume ${this.#folder}\n`,
    )
    return exitCode.failed
  }

  #startWorkers(
    listening: FromCoordinatorProcess,
    { backend, threads }: { backend: BackendName; threads: number | null },
  ): void {
    this.#folder = listening.folder
    for (let index = 0; index < listening.workers; index++) {
      const workerId = `worker-${index}`
      const worker = fork(new URL('../process/worker-process.js', import.meta.url), {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      this.#workers.set(workerId, worker)
      const options = {
        coordinator: listening.endpoint,
        workerId,
        backend,
        threads: threads ?? threadsPerWorker(listening.workers),
        dataBind: 'tcp://127.0.0.1:0',
        connectTimeoutMs: 30_000,
      }
      worker.send({ kind: 'start', options } satisfies ToWorkerProcess)
      void exited(worker).then(({ code, signal }) => {
        this.#workers.delete(workerId)
        if (code !== 0)
          this.#tell({
            kind: 'workerExited',
            workerId,
            reason: signal === null ? `its process exited with ${code}` : `its process was ended by ${signal}`,
          })
      })
    }
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

async function exited(child: ChildProcess): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  assert(child.exitCode !== null || child.signalCode !== null, 'a child that exited has a code or a signal')
  return { code: child.exitCode, signal: child.signalCode }
}
