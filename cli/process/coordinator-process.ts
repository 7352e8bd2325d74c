import { assert } from '../../shared/core/errors.ts'
import { runCoordinator } from '../run-coordinator.ts'
import { runChild } from './child.ts'
import type { FromCoordinatorProcess, ToCoordinatorProcess } from './messages.ts'

runChild<ToCoordinatorProcess>(async (first, onMessage) => {
  assert(first.kind === 'start', 'the first message starts the coordinator')
  return runCoordinator(first.settings, (coordinator, run) => {
    onMessage((message) => {
      if (message.kind === 'stop') coordinator.stop()
      else if (message.kind === 'workerExited') coordinator.workerExited(message)
      else if (message.kind === 'giveUp') coordinator.giveUp(message.reason)
    })
    process.send?.({
      kind: 'listening',
      endpoint: coordinator.endpoint,
      http: coordinator.httpAddress,
      folder: run.folder.path,
      workers: run.config.maxWorkers,
      startWorkers: first.settings.startWorkers,
      threads: run.config.threads,
    } satisfies FromCoordinatorProcess)
  })
})
