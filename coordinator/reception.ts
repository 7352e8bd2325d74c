import type { RunConfig } from '../shared/core/config.ts'
import { protocolVersion, type ToCoordinator } from '../shared/protocol/control.ts'
import type { Seat } from './advisor/layout.ts'
import type { BlobStore } from './blob-store.ts'
import type { Scraped } from './http/discovery.ts'
import type { MembershipEvent } from './membership/events.ts'
import { rankIn } from './membership/members.ts'
import type { Membership } from './membership/state.ts'
import { type Peers, workerOfPeer } from './peers.ts'
import type { PreparedRun } from './prepare-run.ts'
import type { RunRecord } from './run-record.ts'

type Hello = Extract<ToCoordinator, { kind: 'hello' }>

export interface ReceptionParts {
  readonly run: PreparedRun
  readonly record: RunRecord
  readonly peers: Peers
  readonly blobs: BlobStore
  readonly heartbeatMs: number
  membership(): Membership
  apply(event: MembershipEvent): void
}

/** Who may come in: new workers, members that come back, and those that are sent away. */
export class Reception {
  readonly #parts: ReceptionParts
  /** Of each worker, its last hello. */
  readonly #hellos = new Map<string, Hello>()

  constructor(parts: ReceptionParts) {
    this.#parts = parts
  }

  /** Process id of the worker that said hello last under this name. */
  processOf(workerId: string): number | undefined {
    return this.#hellos.get(workerId)?.processId
  }

  /** Number of the worker's last hello. */
  attemptOf(workerId: string): number {
    return this.#hellos.get(workerId)?.attempt ?? 0
  }

  /** Where each of these workers computes. */
  seatsOf(workerIds: readonly string[]): Seat[] {
    return workerIds.map((workerId) => {
      const { host = workerId, cores = 1, threads = 1 } = this.#hellos.get(workerId) ?? {}
      return { host, cores, threads }
    })
  }

  /** Workers that are here and serve /metrics. */
  scraped(): Scraped[] {
    const { members, group } = this.#parts.membership()
    return members.values().flatMap(({ workerId }) => {
      const address = this.#hellos.get(workerId)?.metrics
      return !address ? [] : [{ workerId, address, rank: rankIn(group, workerId) }]
    })
  }

  /** Somebody who never said hello here, or has been expelled. */
  stranger(peer: string, attempt: number): void {
    // Of a member whose hello is on its way still, there may be older messages in front of it.
    const workerId = workerOfPeer(peer)
    if (this.#parts.membership().members.has(workerId) && !this.#parts.peers.knows(workerId)) return
    this.#goesOnWithout(peer, attempt)
  }

  hello(peer: string, hello: Hello): void {
    const { workerId, runId, processId, attempt } = hello
    if (hello.protocolVersion !== protocolVersion) return this.refuseVersion(peer, hello.protocolVersion)
    if (runId !== null && runId !== this.#parts.run.runId) {
      const message = `this is run ${this.#parts.run.runId}, not ${runId}`
      return this.#parts.peers.reply(peer, { kind: 'refused', code: 'wrong-run', message })
    }
    const unlike = whyUnlike(this.#parts.run.config, hello)
    if (unlike !== null)
      return this.#parts.peers.reply(peer, { kind: 'refused', code: 'not-reproducible', message: unlike })
    const known = this.#parts.membership().members.has(workerId)
    const again = this.processOf(workerId) === processId && this.attemptOf(workerId) === attempt
    if (!hello.member && known && again) return this.#welcome(peer, workerId) // its welcome was lost
    if (this.#parts.peers.workerOf(peer) === workerId) {
      if (hello.member) return // the line was cut for a moment
      this.#parts.apply({ kind: 'left', workerId, loss: 'left', certain: true, reason: 'it starts anew' })
    }
    if (hello.member) return this.#memberIsBack(peer, hello, hello.member.generation)
    if (this.#parts.membership().members.has(workerId)) return this.#doubleHello(peer, hello)
    this.#admit(peer, hello)
  }

  /** A member of the group of the coordinator before this one, or one whose line broke. What it has to tell follows. */
  #memberIsBack(peer: string, hello: Hello, generation: number): void {
    const { workerId, attempt, backend } = hello
    const { members, group } = this.#parts.membership()
    if (generation === this.#parts.membership().generation && members.has(workerId) && group.includes(workerId)) {
      this.#parts.peers.bind(workerId, peer)
      this.#hellos.set(workerId, hello)
      this.#parts.record.backends.bind(backend)
      this.#parts.record.metrics.joined(workerId, hello)
      this.#parts.apply({ kind: 'returned', workerId })
      return this.#parts.peers.send(workerId, { kind: 'pulse', step: this.#parts.record.notedStep, time: null })
    }
    this.#parts.apply({ kind: 'left', workerId, loss: 'left', certain: false, reason: 'it is in another generation' })
    this.#goesOnWithout(peer, attempt)
  }

  #goesOnWithout(peer: string, attempt: number): void {
    const reason = 'this run goes on without this worker'
    this.#parts.peers.reply(peer, { kind: 'expelled', attempt, reason, discard: false })
  }

  /** A name that is taken: by a worker that has ended, perhaps, without anybody having noticed yet. */
  #doubleHello(peer: string, hello: Hello): void {
    const { workerId } = hello
    void this.#parts.peers.reaches(workerId, { kind: 'pulse', step: 0, time: null }).then((there) => {
      if (!there) {
        this.#parts.apply({
          kind: 'left',
          workerId,
          loss: 'dead',
          certain: false,
          reason: 'another process has its name',
        })
        return this.#admit(peer, hello)
      }
      const message = `a worker ${workerId} is here already; start this one with another --id`
      this.#parts.peers.reply(peer, { kind: 'refused', code: 'worker-id-taken', message })
    })
  }

  #admit(peer: string, hello: Hello): void {
    const { workerId, host, processId, backend, threads, cores, absence, metrics } = hello
    this.#hellos.set(workerId, hello)
    this.#parts.peers.bind(workerId, peer)
    this.#parts.apply({ kind: 'hello', workerId })
    if (!this.#parts.membership().members.has(workerId)) return this.#parts.peers.forget(workerId)
    this.#parts.record.backends.bind(backend)
    this.#parts.record.metrics.joined(workerId, hello)
    this.#parts.run.folder.event('join', { workerId, host, processId, backend, threads, cores, absence, metrics })
    this.#welcome(peer, workerId)
  }

  #welcome(peer: string, workerId: string): void {
    this.#parts.peers.bind(workerId, peer)
    const { height, width, channels } = this.#parts.run.dataset
    const { manifest } = this.#parts.blobs
    this.#parts.peers.send(workerId, {
      kind: 'welcome',
      runId: this.#parts.run.runId,
      config: this.#parts.run.config,
      manifest: { ...manifest, chunks: [...manifest.chunks], labels: [...manifest.labels] },
      image: { height, width, channels },
      heartbeatMs: this.#parts.heartbeatMs,
    })
  }

  /** To a worker of another version of this protocol. */
  refuseVersion(peer: string, version: number): void {
    this.#parts.peers.reply(peer, {
      kind: 'refused',
      code: 'protocol-version',
      message: `the worker speaks protocol version ${version}, this coordinator version ${protocolVersion}; install the same version of ringleader on both`,
    })
  }
}

/** Null, or why a worker of this backend and so many threads would compute other bits than a run's. */
function whyUnlike(
  config: RunConfig,
  { backend, threads }: { readonly backend: string; readonly threads: number },
): string | null {
  if (!config.reproducible) return null
  if (config.backend !== null && backend !== config.backend)
    return `this run is reproducible with ${config.backend}; this worker has ${backend}`
  if (threads === config.threads) return null
  return `this run is reproducible with ${config.threads} threads a worker; write --threads ${config.threads}`
}
