import { systemClock } from '../shared/core/clock.ts'
import { openControlServer } from '../shared/transport/control-socket.ts'
import type { EvaluationRecords } from './evaluation-record.ts'
import { discovered } from './http/discovery.ts'
import { openHttpServer } from './http/server.ts'
import type { PreparedRun } from './prepare-run.ts'
import { RunRecord } from './run-record.ts'
import { Shell, type ShellOptions } from './shell.ts'
import type { RunObserver, Summary } from './summary.ts'
import { openTensorboard } from './tensorboard/tensorboard.ts'

export interface CoordinatorOptions {
  /** Address for workers, such as tcp://127.0.0.1:7117 (port 0: any free one). */
  readonly bind: string
  readonly http: { readonly host: string; readonly port: number; readonly fallBack: boolean }
  readonly membership: ShellOptions
  /** What a request to steer the run has to bring; null: nobody may. */
  readonly token: string | null
}

export interface Coordinator {
  readonly endpoint: string
  readonly httpAddress: string
  /** Settles when the run is over and its summary is written. */
  readonly done: Promise<Summary>
  /** Takes the figures of checkpoints, which are measured elsewhere. */
  readonly evaluations: Pick<EvaluationRecords, 'add' | 'failed'>
  /** Finishes the step, checkpoints and ends the run. */
  stop(): void
  /** Word from whoever watches the worker's process, which is faster than silence. */
  workerExited(exit: { workerId: string; processId: number; reason: string }): void
  /** Nobody will start workers any more: the run ends as failed. */
  giveUp(reason: string): void
}

/** Starts a coordinator for a prepared run. It is not in the path of a step: ranks talk to each other. */
export async function startCoordinator(
  run: PreparedRun,
  options: CoordinatorOptions,
  observer: RunObserver,
): Promise<Coordinator> {
  const { token } = options
  const server = await openControlServer(options.bind, options.membership.faultMs)
  const record = new RunRecord(run, observer, systemClock.now())
  const shell = new Shell(run, record, server, options.membership, systemClock)
  const http = await openHttp(options.http, {
    metrics: () => record.metrics.registry.metrics(),
    actions: token === null ? null : { token, act: (name, workerId) => shell.actions.act(name, workerId) },
    discovery: () => discovered(run.runId, shell.reception.scraped()),
    runs: [{ name: run.runId, path: run.folder.path, status: () => shell.status() }],
  }).catch(async (error) => {
    await server.close()
    throw error
  })
  openTensorboard(run, record.ledger.steps)
  run.folder.event('start', {
    runId: run.runId,
    step: record.ledger.steps,
    endpoint: server.endpoint,
    http: http.address,
  })
  const done = shell.run().finally(() => http.close())
  return {
    endpoint: server.endpoint,
    httpAddress: http.address,
    done,
    evaluations: record.evaluations,
    stop: () => shell.apply({ kind: 'stopRequested' }),
    workerExited: (exit) => shell.workerExited(exit),
    giveUp: (reason) => shell.apply({ kind: 'failRun', reason }),
  }
}

/** A port that nobody asked for by name may be another one when it is taken. */
async function openHttp(
  { host, port, fallBack }: CoordinatorOptions['http'],
  routes: Parameters<typeof openHttpServer>[2],
): ReturnType<typeof openHttpServer> {
  try {
    return await openHttpServer(host, port, routes)
  } catch (error) {
    if (!fallBack) throw error
    return openHttpServer(host, 0, routes)
  }
}
