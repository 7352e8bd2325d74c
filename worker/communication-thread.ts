import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../shared/core/clock.ts'
import { assert } from '../shared/core/errors.ts'
import { hubConnectionOf } from '../shared/protocol/hub.ts'
import { openControlClient } from '../shared/transport/control-socket.ts'
import { openZeromqTransport } from '../shared/transport/zeromq-transport.ts'
import { Communicator } from './communicator.ts'
import { openMetricsServer } from './metrics/metrics-server.ts'
import { WorkerMetrics } from './metrics/worker-metrics.ts'
import { ProcessLoad } from './process-load.ts'
import type { ThreadData, ToThread } from './thread-messages.ts'
import { traceGarbageCollection } from './trace/garbage-collection.ts'
import { SharedTrace } from './trace/trace.ts'
import { openWorkerLog } from './worker-log.ts'

/**
 * Owns the sockets, answers heartbeats and runs the collectives, so that a long kernel of the main thread never looks
 * like a dead worker.
 */
const data = workerData as ThreadData
assert(parentPort, 'runs as a thread')
const port = parentPort
const counters = new Int32Array(data.counters)
const { log, joins } = openWorkerLog(data.log, data.workerId, counters)
const warn = (line: string) => log.warn(line)
const metrics = data.metrics && new WorkerMetrics(counters)
const scraped =
  data.metrics && metrics && (await openMetricsServer(data.metrics, data.advertise, () => metrics.registry.metrics()))
const communicator = new Communicator({
  data,
  counters,
  load: new ProcessLoad(systemClock, counters),
  control: openControlClient(data.coordinator, data.workerId),
  transport: await openZeromqTransport(data.dataBind, { warn }),
  openHub: () => openControlClient(data.coordinator, hubConnectionOf(data.workerId)),
  clock: systemClock,
  metrics: metrics && scraped && { metrics, address: scraped.address },
  warn,
  post(message) {
    port.postMessage(message)
    if (message.kind !== 'closed') return
    scraped?.close()
    port.close()
  },
})
port.on('message', (message: ToThread) => {
  if (message.kind === 'connected') joins(message.runId)
  if (message.kind === 'trace') traceGarbageCollection(new SharedTrace(0, message.memory).communication)
  communicator.handle(message)
})
