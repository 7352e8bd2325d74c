import { startCoordinator } from '../../coordinator/main.ts'
import { prepareRun } from '../../coordinator/prepare-run.ts'
import { assert } from '../../shared/core/errors.ts'
import { runChild } from '../process/child.ts'
import { toyDataset } from '../simulation/toy-model.ts'

/** Between `bench coordinator` and the coordinator that it measures, over Node's IPC channel. */
export type ToCoordinatorChild =
  | { kind: 'start'; workers: number; folder: string }
  | { kind: 'usage' }
  | { kind: 'end' }
/** `cpuMs`: processor time so far. */
export type FromCoordinatorChild = { kind: 'listening'; endpoint: string } | { kind: 'usage'; cpuMs: number }

/** So slow may a whole load be served: what is measured is the coordinator's time, not its patience. */
const faultMs = 30_000

runChild<ToCoordinatorChild>(async (first, onMessage) => {
  assert(first.kind === 'start', 'the first message starts the coordinator')
  const { workers, folder } = first
  const options = { model: 'gan', dataset: 'toy', steps: 1_000_000, batchSize: Math.max(128, workers) } as const
  const run = prepareRun(
    {
      ...{ options: { ...options, minWorkers: 1, maxWorkers: workers }, runDir: folder, name: null, dataDir: null },
      ...{ resume: null, allowChanges: false, takeOver: false },
    },
    () => {},
    () => toyDataset(60_000),
  )
  const http = { host: '127.0.0.1', port: 0, fallBack: true }
  const quiet = { group: () => {}, committed: () => {}, checkpoint: () => {}, incident: () => {} }
  const bind = 'tcp://127.0.0.1:0'
  const coordinator = await startCoordinator(
    run,
    { bind, http, token: null, membership: { startWorkers: workers, faultMs } },
    quiet,
  )
  const tell = (message: FromCoordinatorChild) => void process.send?.(message)
  onMessage((message) => {
    const { user, system } = process.cpuUsage()
    if (message.kind === 'usage') tell({ kind: 'usage', cpuMs: (user + system) / 1000 })
    else coordinator.giveUp('measured')
  })
  tell({ kind: 'listening', endpoint: coordinator.endpoint })
  await coordinator.done
  return 0
})
