import { resolveConfig } from '../../shared/core/config.ts'
import { limits } from '../../shared/core/limits.ts'
import { chosenBackend } from '../native-setup.ts'
import type { Command } from '../parse.ts'
import { LocalGroup } from '../process/local-group.ts'
import {
  faultTimeout,
  faultTimeoutFlag,
  httpFlag,
  jsonFlag,
  runFlags,
  runRequest,
  tokenFile,
  tokenFileFlag,
} from '../run-options.ts'
import { hostAndPort, wholeNumber } from '../values.ts'
import { verbosity, verbosityFlags } from '../verbosity.ts'
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
      describe: 'address for the page, /metrics and /api/status (default: 127.0.0.1:9464, or any free port)',
    },
    'token-file': tokenFileFlag,
    'fault-timeout': faultTimeoutFlag,
    json: jsonFlag,
    ...verbosityFlags,
    ...runFlags,
  },
  async run(parsed) {
    const threads = parsed.threads === undefined ? null : checkedThreads(parsed.threads, 1)
    const bound = parsed.reproducible === true && threads !== null ? { threads } : {}
    const request = runRequest(parsed, false, { ...workerCount(parsed), ...bound })
    if (request.resume === null) resolveConfig(request.options)
    const backend = checkedBackend(parsed.backend)
    const http = parsed.http === undefined ? httpFlag.default : String(parsed.http)
    hostAndPort(http)
    const settings = {
      request,
      bind: 'tcp://127.0.0.1:0',
      http,
      httpFallBack: parsed.http === undefined,
      json: parsed.json === true,
      verbosity: verbosity(parsed),
      startWorkers: null,
      faultMs: faultTimeout(parsed),
      tokenFile: tokenFile(parsed),
    }
    return new LocalGroup({ backend: await chosenBackend(backend), threads }).run(settings)
  },
}

function workerCount(parsed: Readonly<Record<string, unknown>>): { minWorkers?: number; maxWorkers?: number } {
  const given = parsed.workers
  if (given === undefined) return parsed.resume === undefined ? { minWorkers: 1, maxWorkers: 2 } : {}
  const workers = wholeNumber('workers', given, 1, limits.maxLocalWorkers)
  return { minWorkers: 1, maxWorkers: workers }
}
