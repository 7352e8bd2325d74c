import { randomBytes } from 'node:crypto'
import { Dealer, Router } from 'zeromq'
import { exitCode, messageOf, RingleaderError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import './zeromq-context.ts'

const heartbeat = { heartbeatInterval: 500, heartbeatTimeout: 3000 }

/** The coordinator's end: frames from and to named peers. */
export interface ControlServer {
  readonly endpoint: string
  /** Once. What has come before waits in the socket: a worker that comes back says hello as soon as it is connected. */
  onMessage(handler: (peer: string, frames: Uint8Array[]) => void): void
  /** False once the peer turns out to have no connection any more. */
  send(peer: string, frames: readonly Uint8Array[]): Promise<boolean>
  close(): Promise<void>
}

/** `patienceMs`: a peer that is silent for less is not cut off. */
export async function openControlServer(bind: string, patienceMs = 0): Promise<ControlServer> {
  const socket = new Router({
    linger: 500,
    mandatory: true,
    sendTimeout: 1000,
    maxMessageSize: limits.maxControlFrameBytes,
    backlog: limits.maxWorkers,
    sendHighWaterMark: 1000,
    receiveHighWaterMark: 1000,
    ...heartbeat,
    heartbeatTimeout: Math.max(heartbeat.heartbeatTimeout, patienceMs),
  })
  try {
    await socket.bind(bind)
  } catch (error) {
    throw new RingleaderError(
      'bind',
      `cannot listen on ${bind}: ${messageOf(error)}; write another --bind tcp://HOST:PORT`,
      { cause: error, exit: exitCode.failed },
    )
  }
  const sender = serialSender(socket)
  let received = Promise.resolve()
  return {
    endpoint: socket.lastEndpoint ?? bind,
    onMessage(handler) {
      received = receive(socket, ([id, ...frames]) => {
        if (id) handler(Buffer.from(id).toString('latin1'), frames)
      })
    },
    send: (peer, frames) => sender.push([Buffer.from(peer, 'latin1'), ...frames]),
    async close() {
      await sender.idle()
      socket.close()
      await received
    },
  }
}

/** The worker's end. */
export interface ControlClient {
  /** Once. */
  onMessage(handler: (frames: Uint8Array[]) => void): void
  onConnection(handler: (connected: boolean) => void): void
  send(frames: readonly Uint8Array[]): void
  close(): Promise<void>
}

export function openControlClient(address: string, workerId: string): ControlClient {
  const socket = new Dealer({
    routingId: `${workerId}/${randomBytes(6).toString('hex')}`,
    linger: 500,
    connectTimeout: 2000,
    reconnectInterval: 100,
    reconnectMaxInterval: 400,
    maxMessageSize: limits.maxControlFrameBytes,
    ...heartbeat,
  })
  let connection: (connected: boolean) => void = () => {}
  socket.events.on('handshake', () => connection(true))
  socket.events.on('disconnect', () => connection(false))
  socket.connect(address)
  const sender = serialSender(socket)
  let received = Promise.resolve()
  return {
    onMessage(handler) {
      received = receive(socket, handler)
    },
    onConnection: (next) => {
      connection = next
    },
    send: (frames) => void sender.push([...frames]),
    async close() {
      await Promise.race([sender.idle(), new Promise((resolve) => setTimeout(resolve, 1000).unref())])
      socket.close()
      await received
    },
  }
}

/** A ZeroMQ socket takes one send at a time. A message to a peer that is gone is dropped. */
function serialSender(socket: Router | Dealer) {
  let tail = Promise.resolve()
  return {
    push(frames: Uint8Array[]): Promise<boolean> {
      const sent = tail
        .then(() => socket.send(frames))
        .then(
          () => true,
          (error: unknown) => {
            const { code } = error as NodeJS.ErrnoException
            if (code === 'EHOSTUNREACH') return false
            if (code !== 'EAGAIN' && !socket.closed) process.emitWarning(`control message dropped: ${messageOf(error)}`)
            return true
          },
        )
      tail = sent.then(() => {})
      return sent
    },
    idle: () => tail,
  }
}

async function receive(socket: Router | Dealer, handle: (frames: Uint8Array[]) => void): Promise<void> {
  try {
    for await (const frames of socket) handle(frames)
  } catch (error) {
    if (!socket.closed) throw error
  }
}
