import { hostname } from 'node:os'
import { checkedName, usage } from '../../shared/core/config.ts'
import { exitCode } from '../../shared/core/errors.ts'
import { type RunningWorker, startWorker } from '../../worker/main.ts'
import { besideData, type MetricsPlace } from '../../worker/metrics/metrics-server.ts'
import { usesColor } from '../color.ts'
import { backendFlag, checkedEngine, deviceFlag } from '../device.ts'
import type { Command } from '../parse.ts'
import { checkedAddress, hostAndPort, isLoopback, wholeNumber } from '../values.ts'
import { verbosity, verbosityFlags } from '../verbosity.ts'
import { defaultCoordinator } from './coordinator.ts'

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
    advertise: {
      type: 'string',
      describe: 'address that the other workers are told, where it is not the one of --bind (containers, NAT)',
    },
    metrics: {
      type: 'string',
      describe:
        'HOST:PORT at which the worker serves its own /metrics, or none (default: the host of --bind, any free port)',
    },
    id: { type: 'string', describe: 'name of this worker (default: host and process id)' },
    backend: backendFlag,
    device: deviceFlag,
    threads: threadsFlag,
    'connect-timeout': { type: 'number', describe: 'seconds to wait for the coordinator', default: 60 },
    'reconnect-timeout': {
      type: 'number',
      describe: 'seconds to go on, or to wait, when the coordinator is gone',
      default: 600,
    },
    json: { type: 'boolean', describe: 'tell the log on stderr as one JSON object a line', default: false },
    ...verbosityFlags,
  },
  async run(parsed) {
    const coordinator = checkedAddress('coordinator', String(parsed.coordinator))
    const workerId = checkedName('id', String(parsed.id ?? `${hostname()}-${process.pid}`))
    const local = isLoopback(coordinator)
    const dataBind =
      parsed.bind === undefined
        ? local
          ? 'tcp://127.0.0.1:0'
          : 'tcp://0.0.0.0:0'
        : checkedAddress('bind', String(parsed.bind))
    const worker = startWorker({
      coordinator,
      workerId,
      ...checkedEngine(parsed.backend, parsed.device),
      threads: checkedThreads(parsed.threads, 1),
      dataBind,
      metrics: metricsPlace(parsed.metrics, dataBind),
      advertise: parsed.advertise === undefined ? null : checkedAddress('advertise', String(parsed.advertise)),
      log: {
        level: ({ quiet: 'error', normal: 'info', verbose: 'debug' } as const)[verbosity(parsed)],
        format: parsed.json === true ? 'json' : usesColor(process.stderr) ? 'color' : 'text',
      },
      connectTimeoutMs: seconds('connect-timeout', parsed.connectTimeout) * 1000,
      reconnectTimeoutMs: seconds('reconnect-timeout', parsed.reconnectTimeout) * 1000,
    })
    drainOnSignals(worker, workerId)
    return worker.done
  },
}

function metricsPlace(value: unknown, dataBind: string): MetricsPlace | null {
  if (value === undefined) return besideData(dataBind)
  return value === 'none' ? null : hostAndPort(String(value), 'metrics')
}

function seconds(flag: string, value: unknown): number {
  if (Number(value) > 0) return Number(value)
  throw usage(`--${flag} ${String(value)}: write seconds above 0`)
}

/** `workers` share the cores of this host unless the user says how many threads each has. */
export function checkedThreads(value: unknown, fallBack: number): number {
  if (value === undefined) return fallBack
  return wholeNumber('threads', value, 1, 256)
}

/** The first signal leaves at the next step boundary, the second at once. */
function drainOnSignals(worker: RunningWorker, workerId: string): void {
  let asked = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(exitCode.interrupted)
      asked = true
      process.stderr.write(`ringleader: worker ${workerId} leaves after this step; once more to leave at once\n`)
      worker.drain(signal)
    })
  }
}
