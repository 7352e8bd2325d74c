import { availableParallelism, hostname } from 'node:os'
import { exitCode, messageOf, RingleaderError } from '../shared/core/errors.ts'
import { protocolVersion } from '../shared/protocol/control.ts'
import { type BackendName, onDevice, openBackend } from './backend/open-backend.ts'
import { Link } from './link.ts'
import type { MetricsPlace } from './metrics/metrics-server.ts'
import { openThread } from './open-thread.ts'
import { Session } from './session.ts'
import { sharedThreads } from './step/crew.ts'
import { counter } from './thread-messages.ts'
import { countGarbageCollection } from './trace/garbage-collection.ts'
import { warmUpWith } from './warm-up.ts'
import { openWorkerLog, type WorkerLogOptions } from './worker-log.ts'

export interface WorkerOptions {
  readonly coordinator: string
  readonly workerId: string
  readonly backend: BackendName
  /** A part of the name of the GPU to compute on; null: the fastest, or none. */
  readonly device: string | null
  readonly threads: number
  /** Address that peers connect to, such as tcp://10.0.0.2:0 (0: any free port). */
  readonly dataBind: string
  /** Address by which the others find it, where that is not the one it listens on; null: it is. */
  readonly advertise: string | null
  /** Where it serves /metrics; null: nowhere. */
  readonly metrics: MetricsPlace | null
  readonly log: WorkerLogOptions
  readonly connectTimeoutMs: number
  /** So long does a worker go on without its coordinator, or wait for it, before it gives up. */
  readonly reconnectTimeoutMs: number
}

export interface RunningWorker {
  /** The exit code, once the run is over for this worker. */
  readonly done: Promise<number>
  /** Leaves at the next step boundary. */
  drain(reason: string): void
}

/** One worker, from hello to the run's end. */
export function startWorker(options: WorkerOptions): RunningWorker {
  let session: Session | null = null
  let wanted: string | null = null
  const counters = new SharedArrayBuffer(4 * counter.count)
  const worker = openWorkerLog(options.log, options.workerId, new Int32Array(counters))
  const { log } = worker
  const run = async (): Promise<number> => {
    log.info('starts', { host: hostname(), processId: process.pid, threads: options.threads })
    const threads = onDevice(options.backend) ? 1 : options.threads
    const backend = await openBackend(options.backend, sharedThreads(threads).operations, options.device)
    log.info('has a backend', { backend: `${backend.name} ${backend.version}` })
    countGarbageCollection(new Int32Array(counters), counter.collectingMicros)
    const link = new Link(openThread({ ...options, counters }), new Int32Array(counters))
    const warmUp = warmUpWith(backend, options.backend, threads, (line) => log.warn(line))
    session = new Session(link, warmUp, options.advertise, {
      kind: 'hello',
      protocolVersion,
      workerId: options.workerId,
      attempt: 0,
      runId: null,
      member: null,
      absence: null,
      host: hostname(),
      processId: process.pid,
      backend: `${backend.name} ${backend.version}`,
      threads,
      cores: availableParallelism(),
      metrics: null, // the communication thread knows
    })
    session.logTo(worker)
    if (wanted !== null) session.drain(wanted)
    try {
      return await session.run()
    } catch (error) {
      if (!session.ended) throw error
      log.info('ends', { reason: messageOf(error) })
      return session.ended.failed ? exitCode.failed : exitCode.ok
    } finally {
      await session.close()
      await link.close()
    }
  }
  return {
    done: run().catch((error: unknown) => {
      const foreseen = error instanceof RingleaderError
      log.error(messageOf(error), foreseen ? { code: error.code } : { err: error })
      return foreseen ? error.exit : exitCode.failed
    }),
    drain(reason) {
      wanted = reason
      session?.drain(reason)
    },
  }
}
