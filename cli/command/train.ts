import { resolveConfig } from '../../shared/core/config.ts'
import { automaticCrowd, backendFlag, checkedEngines, checkedWorkers, deviceFlag } from '../device.ts'
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
import { hostAndPort } from '../values.ts'
import { verbosity, verbosityFlags } from '../verbosity.ts'
import { checkedThreads, threadsFlag } from './worker.ts'

export const trainCommand: Command = {
  name: 'train',
  summary: 'a coordinator and N local workers in one go',
  example: 'ringleader train --model vae --epochs 10 --workers 2',
  flags: {
    workers: {
      type: 'string',
      describe: 'worker processes on this host, or auto: one a GPU, else one a core (default: 2)',
    },
    backend: backendFlag,
    device: { ...deviceFlag, describe: `${deviceFlag.describe}; several with commas, which the workers take in turns` },
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
    const asked = checkedEngines(parsed.backend, parsed.device)
    const { workers, engines } =
      parsed.workers === 'auto' ? await automaticCrowd(asked) : { workers: parsed.workers, engines: asked }
    const request = runRequest(parsed, false, { ...workerCount(workers, parsed.resume !== undefined), ...bound })
    if (request.resume === null) resolveConfig(request.options)
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
    const chosen = []
    for (const { backend, device } of engines) chosen.push({ backend: await chosenBackend(backend), device })
    return new LocalGroup({ engines: chosen, threads }).run(settings)
  },
}

function workerCount(given: unknown, resumed: boolean): { minWorkers?: number; maxWorkers?: number } {
  if (given === undefined) return resumed ? {} : { minWorkers: 1, maxWorkers: 2 }
  return { minWorkers: 1, maxWorkers: checkedWorkers(given) }
}
