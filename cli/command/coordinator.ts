import type { Coordinator } from '../../coordinator/main.ts'
import type { Command } from '../parse.ts'
import { runCoordinator } from '../run-coordinator.ts'
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
import { checkedAddress, isLoopback } from '../values.ts'
import { verbosity, verbosityFlags } from '../verbosity.ts'

export const defaultCoordinator = 'tcp://127.0.0.1:7117'

export const coordinatorCommand: Command = {
  name: 'coordinator',
  summary: 'run one coordinator; workers join it from this host or others',
  example: 'ringleader coordinator --model vae --min-workers 2',
  flags: {
    bind: { type: 'string', describe: 'address for workers', default: defaultCoordinator },
    http: httpFlag,
    'min-workers': {
      type: 'number',
      describe: 'the run starts when so many are ready, and pauses below',
      default: 1,
    },
    'max-workers': { type: 'number', describe: 'more than these are refused (default: 8)' },
    'token-file': tokenFileFlag,
    'fault-timeout': faultTimeoutFlag,
    json: jsonFlag,
    ...verbosityFlags,
    ...runFlags,
  },
  async run(parsed) {
    const bind = checkedAddress('bind', String(parsed.bind))
    if (!isLoopback(bind))
      process.stderr.write(
        `ringleader: ${bind} is open to everybody who reaches it; use it in a private network only\n`,
      )
    const minWorkers = Number(parsed.minWorkers)
    const maxWorkers = parsed.maxWorkers === undefined ? Math.max(8, minWorkers) : Number(parsed.maxWorkers)
    const request = runRequest(parsed, true, { minWorkers, maxWorkers })
    const settings = {
      ...{ request, bind, http: String(parsed.http), httpFallBack: false, json: parsed.json === true },
      ...{ startWorkers: minWorkers, faultMs: faultTimeout(parsed) },
      tokenFile: tokenFile(parsed),
      verbosity: verbosity(parsed),
    }
    return runCoordinator(settings, (coordinator) => {
      const waiting = `waiting for ${minWorkers} worker${minWorkers === 1 ? '' : 's'} at ${coordinator.endpoint}`
      if (settings.verbosity !== 'quiet') process.stderr.write(`ringleader: ${waiting}\n`)
      stopOnSignals(coordinator)
    })
  },
}

/** The first signal finishes the step and checkpoints, the second leaves at once. */
function stopOnSignals(coordinator: Coordinator): void {
  let asked = false
  const stop = () => {
    if (asked) process.exit(130)
    asked = true
    process.stderr.write('ringleader: finishing the step and saving; once more to leave at once\n')
    coordinator.stop()
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
}
