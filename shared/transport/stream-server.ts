import { createServer, type Server, type Socket } from 'node:net'
import { limits } from '../core/limits.ts'
import { decodeStreamGreeting, type StreamGreeting, streamGreetingBytes } from '../protocol/stream-link.ts'

/** Where peers connect to in order to read what this end sends. */
export class StreamServer {
  readonly #server: Server
  /** False: nobody waits for it. */
  #onGreeting: (greeting: StreamGreeting, socket: Socket) => boolean = () => false

  /** Null where the host has no port for it; links then stay on ZeroMQ. */
  static async open(host: string, port: number): Promise<StreamServer | null> {
    const server = createServer({ noDelay: true })
    server.maxConnections = limits.maxWorkers * limits.maxStreamsPerLink
    const listens = new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen({ host, port }, () => resolve(true))
    })
    return (await listens) ? new StreamServer(server) : null
  }

  private constructor(server: Server) {
    this.#server = server
    server.on('error', () => {}) // of one connection that could not be taken
    server.on('connection', (socket) => this.#greet(socket))
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address ? address.port : 0
  }

  onGreeting(handler: (greeting: StreamGreeting, socket: Socket) => boolean): void {
    this.#onGreeting = handler
  }

  close(): void {
    this.#server.close()
  }

  /** Whoever does not say in time who it is, or says more than that, is cut off. */
  #greet(socket: Socket): void {
    let said = Buffer.alloc(0)
    socket.on('error', () => {}) // `close` follows
    const timer = setTimeout(() => socket.destroy(), limits.connectMs)
    socket.once('close', () => clearTimeout(timer))
    socket.on('data', (bytes) => {
      said = Buffer.concat([said, bytes])
      if (said.byteLength < streamGreetingBytes) return
      clearTimeout(timer)
      const greeting = decodeStreamGreeting(said)
      if (!greeting || !this.#onGreeting(greeting, socket)) socket.destroy()
    })
  }
}

/** Where the address has a fixed port, the streams have the next one, so that a firewall can let both in. */
export function openStreams(endpoint: string, bind: string): Promise<StreamServer | null> {
  const [, host = '', port = ''] = /^tcp:\/\/(.+):(\d+)$/.exec(endpoint) ?? []
  const next = /:(\*|0)$/.test(bind) ? 0 : Number(port) + 1
  return StreamServer.open(host.replace(/^\[|\]$/g, ''), next > 65_535 ? 0 : next)
}
