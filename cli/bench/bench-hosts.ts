import { createServer, type Server } from 'node:net'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import { decodeFromHost, type FromHost, type ToHost } from './all-reduce-messages.ts'
import { type BenchWorker, forkWorker } from './bench-worker.ts'
import { JsonChannel } from './json-channel.ts'

/** Where the workers of a measurement run. */
export interface BenchHosts {
  /** This host's address, as the others reach it. */
  readonly address: string
  /** So many workers; the last of them on the hosts that have joined. */
  start(workers: number): BenchWorker[]
  close(): Promise<void>
}

export const thisHost: BenchHosts = {
  address: '127.0.0.1',
  start: (workers) => Array.from({ length: workers }, () => forkWorker('tcp://127.0.0.1:0')),
  close: () => Promise.resolve(),
}

/** Waits until so many workers have joined from other hosts (`ringleader bench worker`). */
export async function openHosts(
  { host, port }: { host: string; port: number },
  remote: number,
  { version, timeoutMs }: { version: string; timeoutMs: number },
): Promise<BenchHosts> {
  const joined: RemoteWorker[] = []
  let complete: () => void = () => {}
  const all = new Promise<void>((resolve) => {
    complete = resolve
  })
  const server = createServer((socket) => {
    const worker = new RemoteWorker(
      new JsonChannel<FromHost, ToHost>(socket, decodeFromHost, (message) => {
        if (message.kind !== 'join') worker.receive(message)
        else if (message.version !== version) worker.refuse(`this is version ${version}, not ${message.version}`)
        else if (joined.length === remote) worker.refuse(`all ${remote} workers are there; write a larger --remote`)
        else if (joined.push(worker) === remote) complete()
      }),
    )
  })
  await listening(server, host, port)
  const close = async () => {
    server.close()
    await Promise.all(joined.map((worker) => worker.dismiss()))
  }
  const late = new Promise<never>((_, reject) => {
    const few = () => {
      const what = `${joined.length} of ${remote} workers joined within ${timeoutMs / 1000} s`
      const command = `ringleader bench worker --coordinator tcp://${host}:${port}`
      void close()
      reject(new RingleaderError('bench', `${what}; start \`${command}\` on the other hosts`))
    }
    const timer = setTimeout(few, timeoutMs)
    void all.then(() => clearTimeout(timer))
  })
  await Promise.race([all, late])
  const local = (workers: number) => Array.from({ length: workers - remote }, () => forkWorker(`tcp://${host}:0`))
  return { address: host, close, start: (workers) => [...local(workers), ...joined.map((worker) => worker.begin())] }
}

/** A worker on another host: one process for each group. */
class RemoteWorker implements BenchWorker {
  readonly dataBind = '' // its own host says
  running = false
  readonly #channel: JsonChannel<FromHost, ToHost>
  #gone = false
  #onMessage: (message: Extract<FromHost, { kind: 'open' | 'measured' }>) => void = () => {}
  #onEnd: () => void = () => {}
  #ended: () => void = () => {}

  constructor(channel: JsonChannel<FromHost, ToHost>) {
    this.#channel = channel
    void channel.closed.then(() => {
      this.#gone = true
      this.#end()
    })
  }

  begin(): this {
    this.running = !this.#gone
    return this
  }

  receive(message: Exclude<FromHost, { kind: 'join' }>): void {
    if (message.kind === 'ended') this.#end()
    else this.#onMessage(message)
  }

  refuse(reason: string): void {
    this.#channel.send({ kind: 'refused', reason })
    this.#channel.end()
  }

  send(message: ToHost): void {
    this.#channel.send(message)
  }

  listen(onMessage: Parameters<BenchWorker['listen']>[0], onEnd: () => void): () => void {
    this.#onMessage = onMessage
    this.#onEnd = onEnd
    return () => {
      this.#onMessage = () => {}
      this.#onEnd = () => {}
    }
  }

  async end(): Promise<void> {
    if (!this.running) return
    const ended = new Promise<void>((resolve) => {
      this.#ended = resolve
    })
    this.#channel.send({ kind: 'end' })
    const patience = setTimeout(() => this.#channel.destroy(), 5000)
    await ended
    clearTimeout(patience)
  }

  /** For good. */
  async dismiss(): Promise<void> {
    this.#channel.send({ kind: 'bye' })
    this.#channel.end()
    const patience = setTimeout(() => this.#channel.destroy(), 1000)
    await this.#channel.closed
    clearTimeout(patience)
  }

  #end(): void {
    this.running = false
    this.#onEnd()
    this.#ended()
  }
}

async function listening(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: unknown) =>
      reject(
        new RingleaderError(
          'bind',
          `cannot listen on tcp://${host}:${port}: ${messageOf(error)}; write another --bind tcp://HOST:PORT`,
          { cause: error, exit: exitCode.failed },
        ),
      )
    server.once('error', fail)
    server.listen({ host, port }, () => {
      server.off('error', fail)
      resolve()
    })
  })
}
