import { hostname } from 'node:os'
import { checkedName, usage } from '../../shared/core/config.ts'
import { exitCode } from '../../shared/core/errors.ts'
import { type BackendName, backendNames } from '../../worker/backend/open-backend.ts'
import { runWorker } from '../../worker/main.ts'
import type { Command } from '../parse.ts'
import { checkedAddress, isLoopback, wholeNumber } from '../values.ts'
import { defaultCoordinator } from './coordinator.ts'

export const backendFlag = { type: 'string', describe: 'tensorflow, wasm or auto', default: 'auto' } as const
export const threadsFlag = { type: 'number', describe: 'threads of a worker for tensor operations' } as const

export const workerCommand: Command = {
  name: 'worker',
  summary: 'join a coordinator and train; it sends the configuration and the data',
  example: 'ringleader worker --coordinator tcp://10.0.0.1:7117 --bind tcp://10.0.0.2:0',
  flags: {
    coordinator: { type: 'string', describe: "the coordinator's address", default: defaultCoordinator },
    bind: {
      type: 'string',
      describe:
        "address for the other workers; port 0 is any free one (default: this host's loopback, or its name where the coordinator is on another host)",
    },
    id: { type: 'string', describe: 'name of this worker (default: host and process id)' },
    backend: backendFlag,
    threads: threadsFlag,
    'connect-timeout': { type: 'number', describe: 'seconds to wait for the coordinator', default: 60 },
  },
  async run(parsed) {
    const coordinator = checkedAddress('coordinator', String(parsed.coordinator))
    const workerId = checkedName('id', String(parsed.id ?? `${hostname()}-${process.pid}`))
    const seconds = Number(parsed.connectTimeout)
    if (!(seconds > 0)) throw usage(`--connect-timeout ${seconds}: write seconds above 0`)
    const local = isLoopback(coordinator)
    const dataBind =
      parsed.bind === undefined
        ? local
          ? 'tcp://127.0.0.1:0'
          : 'tcp://0.0.0.0:0'
        : checkedAddress('bind', String(parsed.bind))
    stopOnSignals(workerId)
    return runWorker({
      coordinator,
      workerId,
      backend: checkedBackend(parsed.backend),
      threads: checkedThreads(parsed.threads, 1),
      dataBind,
      connectTimeoutMs: seconds * 1000,
    })
  },
}

export function checkedBackend(value: unknown): BackendName {
  const name = backendNames.find((candidate) => candidate === value)
  if (!name) throw usage(`--backend ${String(value)} is unknown; write one of ${backendNames.join(', ')}`)
  return name
}

/** `workers` share the cores of this host unless the user says how many threads each has. */
export function checkedThreads(value: unknown, fallBack: number): number {
  if (value === undefined) return fallBack
  return wholeNumber('threads', value, 1, 256)
}

/** A worker that is told to go leaves at once: the coordinator notices and says what becomes of the run. */
function stopOnSignals(workerId: string): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      process.stderr.write(`ringleader: worker ${workerId} leaves on ${signal}\n`)
      process.exit(exitCode.interrupted)
    })
  }
}
