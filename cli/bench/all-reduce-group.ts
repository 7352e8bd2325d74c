import { Hub } from '../../coordinator/hub.ts'
import { workerOfPeer } from '../../coordinator/peers.ts'
import { topologyOf, unknownTopology } from '../../shared/collective/topology.ts'
import { RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { decodeToCoordinator, encodeControl, type ToWorker } from '../../shared/protocol/control.ts'
import { runTag } from '../../shared/protocol/frame.ts'
import { workerOfHubPeer } from '../../shared/protocol/hub.ts'
import type { RankReport } from '../../shared/protocol/topology.ts'
import { type ControlServer, openControlServer } from '../../shared/transport/control-socket.ts'
import { type FromAllReduceProcess, generation, runId, type ToAllReduceProcess } from './all-reduce-messages.ts'
import type { BenchHosts } from './bench-hosts.ts'
import type { BenchWorker } from './bench-worker.ts'
import type { CollectiveOptions } from './collective-options.ts'

const startMs = 30_000
const pulseMs = 1000
/** A wire that moves less is taken for dead. */
const slowestBytesPerSecond = 10 << 20

/** Worker processes in one group. This process is their coordinator, as far as reductions need one. */
export class AllReduceGroup {
  readonly #server: ControlServer
  readonly #workers: readonly BenchWorker[]
  readonly #peers = new Set<string>()
  readonly #joined = new Map<string, RankReport>()
  readonly #hub: Hub
  readonly #pulse: NodeJS.Timeout
  #onJoined: () => void = () => {}

  static async start(
    hosts: BenchHosts,
    workers: number,
    largestBytes: number,
    collective: CollectiveOptions,
  ): Promise<AllReduceGroup> {
    const server = await openControlServer(`tcp://${hosts.address}:0`)
    const group = new AllReduceGroup(server, hosts.start(workers))
    try {
      await group.#form(largestBytes, collective)
    } catch (error) {
      await group.close()
      throw error
    }
    return group
  }

  private constructor(server: ControlServer, workers: readonly BenchWorker[]) {
    this.#server = server
    this.#workers = workers
    this.#hub = new Hub({
      send: (peer, frames) => void server.send(peer, frames),
      malformed: () => {},
      abort: (_, reason) => process.emitWarning(reason),
    })
    server.onMessage((peer, frames) => this.#receive(peer, frames))
    this.#pulse = setInterval(() => {
      for (const peer of this.#peers) this.#sendPulse(peer)
    }, pulseMs)
  }

  /** Of each rank, in order. Rejects where a worker ends, or does not come to an end. */
  async measure(bytes: number, iterations: number): Promise<Extract<FromAllReduceProcess, { kind: 'measured' }>[]> {
    const timeoutMs = startMs + (1000 * iterations * bytes * this.#workers.length) / slowestBytesPerSecond
    const answers = this.#workers.map((worker) => answerOf(worker, { kind: 'measure', bytes, iterations }, timeoutMs))
    return (await Promise.all(answers)).flatMap((answer) => (answer.kind === 'measured' ? [answer] : []))
  }

  async close(): Promise<void> {
    clearInterval(this.#pulse)
    await Promise.all(this.#workers.map((worker) => worker.end()))
    await this.#server.close()
  }

  async #form(largestBytes: number, collective: CollectiveOptions): Promise<void> {
    const coordinator = this.#server.endpoint
    const opened = await Promise.all(
      this.#workers.map((worker, rank) => {
        const { dataBind } = worker
        const options = {
          coordinator,
          workerId: `worker-${rank}`,
          dataBind,
          largestBytes,
          collective: { ...collective },
        }
        return answerOf(worker, { kind: 'start', options }, startMs)
      }),
    )
    const peers = opened.flatMap((answer, rank) =>
      answer.kind === 'open' ? [{ workerId: `worker-${rank}`, rank, endpoint: answer.endpoint }] : [],
    )
    const workerIds = peers.map(({ workerId }) => workerId)
    const hub = collective.algorithm === 'star'
    if (hub) this.#hub.form({ run: runTag(runId), generation, workerIds, lanes: null })
    const joined = new Promise<void>((resolve) => {
      this.#onJoined = resolve
    })
    for (const [rank, worker] of this.#workers.entries()) worker.send({ kind: 'form', rank, peers })
    // What comes before a rank has joined is lost to it.
    await within(joined, limits.connectMs, 'the workers do not join')
    const reports = workerIds.map((workerId) => this.#joined.get(workerId) ?? null)
    const topology = hub ? unknownTopology(reports.length, hub) : topologyOf(reports)
    for (const peer of this.#peers) this.#send(peer, { kind: 'start', generation, topology })
  }

  #receive(peer: string, frames: readonly Uint8Array[]): void {
    const hubWorker = workerOfHubPeer(peer)
    if (hubWorker !== null) return this.#hub.receive(peer, hubWorker, frames)
    if (!this.#peers.has(peer)) this.#sendPulse(peer)
    this.#peers.add(peer)
    const message = frames[0] ? decodeToCoordinator(frames[0]) : null
    if (message?.kind !== 'joined') return
    this.#joined.set(workerOfPeer(peer), message.report)
    if (this.#joined.size === this.#workers.length) this.#onJoined()
  }

  #sendPulse(peer: string): void {
    this.#send(peer, { kind: 'pulse', step: 0, time: null })
  }

  #send(peer: string, message: ToWorker): void {
    void this.#server.send(peer, [encodeControl(message)])
  }
}

async function answerOf(
  worker: BenchWorker,
  message: ToAllReduceProcess,
  timeoutMs: number,
): Promise<FromAllReduceProcess> {
  let settle: () => void = () => {}
  const answer = new Promise<FromAllReduceProcess>((resolve, reject) => {
    const fail = () => reject(new RingleaderError('bench', 'a worker of the measurement has ended; see above'))
    if (!worker.running) fail()
    settle = worker.listen(resolve, fail)
  })
  worker.send(message)
  return within(answer, timeoutMs, 'a worker of the measurement does not answer').finally(settle)
}

function within<Value>(promise: Promise<Value>, timeoutMs: number, what: string): Promise<Value> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new RingleaderError('bench', `${what} within ${Math.round(timeoutMs / 1000)} s`))
    const timer = setTimeout(late, Math.min(timeoutMs, 2 ** 31 - 1))
    promise.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
