import { connect } from 'node:net'
import { exitCode, RingleaderError } from '../../shared/core/errors.ts'
import { decodeToHost, type FromHost, type ToHost } from './all-reduce-messages.ts'
import { type BenchWorker, forkWorker } from './bench-worker.ts'
import { JsonChannel } from './json-channel.ts'

const retryMs = 250

export interface JoinOptions {
  readonly host: string
  readonly port: number
  /** Where this worker's data comes in. */
  readonly dataBind: string
  readonly version: string
  readonly timeoutMs: number
}

/** One worker for a `bench allreduce` on another host, a new process for each of its groups, until it has measured all. */
export async function joinBench({ host, port, dataBind, version, timeoutMs }: JoinOptions): Promise<number> {
  const socket = await reached(host, port, timeoutMs)
  let worker: BenchWorker | null = null
  let dismissed = false
  let refusal: string | null = null
  const channel = new JsonChannel<ToHost, FromHost>(socket, decodeToHost, (message) => {
    if (message.kind === 'bye') dismissed = true
    else if (message.kind === 'refused') refusal = message.reason
    else if (message.kind === 'end') void worker?.end()
    else if (message.kind !== 'start') worker?.send(message)
    else if (!worker?.running) {
      worker = forkWorker(dataBind)
      worker.listen(
        (answer) => channel.send(answer),
        () => channel.send({ kind: 'ended' }),
      )
      worker.send({ ...message, options: { ...message.options, dataBind } })
    }
  })
  channel.send({ kind: 'join', version })
  await channel.closed
  await (worker as BenchWorker | null)?.end()
  if (refusal !== null)
    throw new RingleaderError('bench', `tcp://${host}:${port} does not take this worker: ${refusal}`)
  if (!dismissed) throw new RingleaderError('bench', `the connection to tcp://${host}:${port} is lost`)
  return exitCode.ok
}

/** Whoever measures may be started later than its workers. */
async function reached(host: string, port: number, timeoutMs: number) {
  const begun = performance.now()
  for (;;) {
    const socket = connect({ host, port })
    const error = await new Promise<Error | null>((resolve) => {
      socket.once('connect', () => resolve(null))
      socket.once('error', resolve)
    })
    if (!error) return socket
    if (performance.now() - begun > timeoutMs)
      throw new RingleaderError('bench', `no \`bench allreduce --bind\` at tcp://${host}:${port}: ${error.message}`)
    await new Promise((resolve) => setTimeout(resolve, retryMs))
  }
}
