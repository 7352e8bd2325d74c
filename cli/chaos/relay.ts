import { connect, createServer, type Server, type Socket } from 'node:net'

interface Pair {
  readonly near: Socket
  readonly far: Socket
  /** Address that the connection comes from. */
  readonly source: string
  /** When the last delayed bytes of each direction are due. */
  readonly due: [number, number]
}

/** A TCP relay that can hold back, delay and break what goes through it: the network of a run under faults. */
export class Relay {
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  #cut: (source: string) => boolean = () => false
  /** Milliseconds on every byte of a connection, either way, by where it comes from. */
  #delayMs: (source: string) => number = () => 0

  private constructor(server: Server) {
    this.#server = server
  }

  /** Listens on a free port and passes on to `target()`, which is asked at every connection. */
  static async open(host: string, target: () => { host: string; port: number }): Promise<Relay> {
    const server = createServer({ pauseOnConnect: true })
    const relay = new Relay(server)
    server.on('connection', (near) => relay.#accept(near, connect({ ...target(), allowHalfOpen: true })))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, host, resolve)
    })
    return relay
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** From now on nothing passes of connections whose source is cut off; nothing is lost as long as they last. */
  cut(isCut: (source: string) => boolean): void {
    this.#cut = isCut
    for (const pair of this.#pairs) this.#setFlow(pair)
  }

  delay(delayMs: (source: string) => number): void {
    this.#delayMs = delayMs
  }

  /** Breaks what is open, from one source or from all. */
  reset(source: string | null): void {
    for (const pair of this.#pairs) {
      if (source !== null && pair.source !== source) continue
      pair.near.resetAndDestroy()
      pair.far.resetAndDestroy()
    }
  }

  close(): void {
    this.#server.close()
    this.reset(null)
  }

  #accept(near: Socket, far: Socket): void {
    const pair: Pair = { near, far, source: near.remoteAddress ?? '', due: [0, 0] }
    this.#pairs.add(pair)
    near.setNoDelay()
    far.setNoDelay()
    this.#pass(pair, near, far, 0)
    this.#pass(pair, far, near, 1)
    this.#setFlow(pair)
  }

  #setFlow({ near, far, source }: Pair): void {
    const cut = this.#cut(source)
    for (const socket of [near, far]) if (cut) socket.pause()
    for (const socket of [near, far]) if (!cut) socket.resume()
  }

  #pass(pair: Pair, from: Socket, to: Socket, direction: 0 | 1): void {
    from.on('data', (bytes) => {
      const now = performance.now()
      const delayMs = this.#delayMs(pair.source)
      if (delayMs === 0 && pair.due[direction] <= now) {
        if (to.write(bytes)) return
        from.pause()
        to.once('drain', () => this.#setFlow(pair))
        return
      }
      pair.due[direction] = Math.max(pair.due[direction], now + delayMs)
      setTimeout(() => to.write(bytes), pair.due[direction] - now)
    })
    from.on('close', () => {
      this.#pairs.delete(pair)
      to.destroy()
    })
    from.on('error', () => to.destroy()) // told by 'close' as well
  }
}
