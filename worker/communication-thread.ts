import { hostname } from 'node:os'
import { parentPort, workerData } from 'node:worker_threads'
import { DirectAllReduce } from '../shared/collective/direct.ts'
import { assert, messageOf } from '../shared/core/errors.ts'
import { type Kernel, loadKernel } from '../shared/kernel/kernel.ts'
import { decodeToWorker, encodeControl, type ToCoordinator } from '../shared/protocol/control.ts'
import { runTag } from '../shared/protocol/frame.ts'
import { openControlClient } from '../shared/transport/control-socket.ts'
import { openZeromqTransport } from '../shared/transport/zeromq-transport.ts'
import type { FromThread, ThreadData, ToThread } from './thread-messages.ts'

/**
 * Owns the sockets, answers heartbeats and runs the collectives, so that a long kernel of the main thread never looks
 * like a dead worker.
 */
const data = workerData as ThreadData
assert(parentPort, 'runs as a thread')
const port = parentPort
const post = (message: FromThread) => port.postMessage(message)
const counters = new Int32Array(data.counters)
const started = performance.now()

const control = openControlClient(data.coordinator, data.workerId)
const transport = await openZeromqTransport(data.dataBind)
let memory: WebAssembly.Memory | null = null
let kernel: Kernel | null = null
let run = 0n
let group: DirectAllReduce | null = null
let generation = 0
let lastHeard = performance.now()
let everHeard = false
let malformed = 0
const counts = { stale: 0, malformed: 0 }
let heartbeat: NodeJS.Timeout | null = null
let closing = false

const send = (message: ToCoordinator, bytes?: Uint8Array) =>
  control.send(bytes ? [encodeControl(message), bytes] : [encodeControl(message)])

control.onMessage((frames) => {
  const message = frames[0] ? decodeToWorker(frames[0]) : null
  if (!message) {
    malformed++
    return
  }
  lastHeard = performance.now()
  everHeard = true
  if (message.kind === 'pulse') return
  if (message.kind === 'abort' && message.generation === generation) group?.abort(new Error(message.reason))
  post({ kind: 'message', message, bytes: frames[1] ?? null })
})

// Nobody there yet: say so now and then, give up in the end. Somebody was there and is silent: the run is over.
const silenceMs = 5000
let warned = 0
const watch = setInterval(() => {
  if (closing) return
  const waited = performance.now() - (everHeard ? lastHeard : started)
  if (!everHeard && waited > data.connectTimeoutMs) {
    post({
      kind: 'lost',
      reason: `no coordinator answered at ${data.coordinator} within ${Math.round(data.connectTimeoutMs / 1000)} s; check --coordinator tcp://HOST:PORT`,
    })
    clearInterval(watch)
  } else if (!everHeard && waited > 2000 * 2 ** warned) {
    warned++
    process.stderr.write(
      `ringleader worker ${data.workerId} on ${hostname()}: no coordinator at ${data.coordinator} yet, trying on\n`,
    )
  } else if (everHeard && waited > silenceMs) {
    post({ kind: 'lost', reason: `the coordinator at ${data.coordinator} is silent for ${silenceMs / 1000} s` })
    clearInterval(watch)
  }
}, 250)

transport.onFrame((header, payload) => group?.receive(header, payload))
transport.onLost((rank) => {
  if (!group || closing) return
  const reason = `the link to rank ${rank} is lost`
  group.abort(new Error(reason))
  send({ kind: 'failed', generation, step: counters[0] ?? 0, reason })
})

post({ kind: 'open', endpoint: transport.endpoint })

port.on('message', (message: ToThread) => {
  switch (message.kind) {
    case 'memory':
      memory = message.memory
      kernel = loadKernel(memory)
      return
    case 'send':
      send(message.message, message.bytes)
      return
    case 'connected':
      run = runTag(message.runId)
      heartbeat ??= setInterval(sendHeartbeat, message.heartbeatMs)
      return
    case 'form':
      form(message)
      return
    case 'allReduce':
      void reduce(message)
      return
    case 'abort':
      group?.abort(new Error(message.reason))
      return
    case 'close':
      void close()
      return
    default:
      message satisfies never
  }
})

function form(message: Extract<ToThread, { kind: 'form' }>): void {
  assert(memory && kernel, 'the memory is there before a group is')
  const buffer = memory.buffer
  const sums = kernel
  if (group) {
    counts.stale += group.staleFrames
    counts.malformed += group.malformedFrames
    group.abort(new Error('a new generation'))
  }
  generation = message.generation
  group = new DirectAllReduce({
    run,
    generation,
    rank: message.rank,
    worldSize: message.peers.length,
    transport,
    memory: {
      bucket: (offset, count) => new Float32Array(buffer, offset * 4, count),
      add: (target, source) => addInto(sums, target, source),
    },
  })
  transport.connect(message.peers.filter((peer) => peer.rank !== message.rank))
  send({ kind: 'joined', generation })
}

function addInto(sums: Kernel, target: Float32Array, source: Float32Array): void {
  if (source.buffer === target.buffer) {
    sums.add(target.byteOffset, source.byteOffset, source.length)
    return
  }
  for (let index = 0; index < target.length; index++) target[index] = (target[index] ?? 0) + (source[index] ?? 0)
}

async function reduce(message: Extract<ToThread, { kind: 'allReduce' }>): Promise<void> {
  try {
    assert(group, 'a group is formed before it reduces')
    const report = await group.allReduce(message.step, message.bucket, message.offset / 4, message.count)
    post({ kind: 'reduced', id: message.id, bytes: report.bytes })
  } catch (error) {
    post({ kind: 'reduceFailed', id: message.id, reason: messageOf(error) })
  }
}

function sendHeartbeat(): void {
  send({
    kind: 'heartbeat',
    generation,
    step: counters[0] ?? 0,
    residentBytes: process.memoryUsage.rss(),
    tensors: counters[1] ?? 0,
    staleFrames: counts.stale + (group?.staleFrames ?? 0),
    malformedFrames: malformed + counts.malformed + (group?.malformedFrames ?? 0),
  })
}

async function close(): Promise<void> {
  closing = true
  clearInterval(watch)
  if (heartbeat) clearInterval(heartbeat)
  group?.abort(new Error('the worker leaves'))
  transport.close()
  await control.close()
  post({ kind: 'closed' })
  port.close()
}
