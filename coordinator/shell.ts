import { systemClock } from '../shared/core/clock.ts'
import { messageOf } from '../shared/core/errors.ts'
import { limits } from '../shared/core/limits.ts'
import { decodeToCoordinator, foreignVersion, protocolVersion, type ToCoordinator } from '../shared/protocol/control.ts'
import type { ControlServer } from '../shared/transport/control-socket.ts'
import { BlobStore } from './blob-store.ts'
import type { MembershipEffect, MembershipEvent } from './membership/events.ts'
import { decide } from './membership/membership.ts'
import { initialMembership, type Outcome } from './membership/state.ts'
import { Peers } from './peers.ts'
import type { PreparedRun } from './prepare-run.ts'
import type { RunRecord, Summary } from './run-record.ts'

const heartbeatMs = 250
const tickMs = 100
const pulseMs = 1000

type Hello = Extract<ToCoordinator, { kind: 'hello' }>

export interface ShellOptions {
  /** The first group waits for so many workers. */
  readonly startWorkers: number
  readonly faultMs: number
}

/** Carries messages to the pure membership and its effects back to the workers. */
export class Shell {
  readonly #run: PreparedRun
  readonly #record: RunRecord
  readonly #server: ControlServer
  readonly #blobs: BlobStore
  readonly #peers: Peers
  readonly #clock = systemClock
  #membership
  #over: (outcome: Outcome) => void = () => {}
  readonly #outcome: Promise<Outcome>

  constructor(run: PreparedRun, record: RunRecord, server: ControlServer, options: ShellOptions) {
    this.#run = run
    this.#record = record
    this.#server = server
    this.#blobs = new BlobStore(run.dataset)
    this.#peers = new Peers(server, (workerId) =>
      this.apply({ kind: 'left', workerId, loss: 'dead', certain: false, reason: 'its connection is closed' }),
    )
    const { minWorkers, maxWorkers } = run.config
    this.#membership = initialMembership(
      { minWorkers, maxWorkers, ...options, orphanMs: limits.orphanMs + options.faultMs, heartbeatMs },
      { generation: record.generation, storedStep: record.savedStep },
    )
    this.#outcome = new Promise((resolve) => {
      this.#over = resolve
    })
  }

  async run(): Promise<Summary> {
    this.#server.onMessage((peer, frames) => this.#guard(() => this.#receive(peer, frames)))
    let lastTick = this.#clock.now()
    const stopTicks = this.#clock.every(tickMs, () => {
      const now = this.#clock.now()
      if (now - lastTick > 10 * tickMs) this.apply({ kind: 'slept' })
      lastTick = now
      this.apply({ kind: 'tick' })
    })
    const stopPulses = this.#clock.every(pulseMs, () =>
      this.#peers.broadcast({ kind: 'pulse', step: this.#record.ledger.steps }),
    )
    const outcome = await this.#outcome
    stopTicks()
    stopPulses()
    this.#peers.broadcast({ kind: 'bye', reason: outcome.reason, failed: outcome.status === 'failed' })
    await this.#server.close()
    return this.#record.finish(outcome.status, outcome.reason, this.#clock.now())
  }

  apply(event: MembershipEvent): void {
    this.#guard(() => {
      const { state, effects } = decide(this.#membership, event, this.#clock.now())
      this.#membership = state
      for (const effect of effects) this.#carryOut(effect)
    })
  }

  /** Before the first group nobody would come in its place; later somebody may. */
  workerExited(workerId: string, reason: string): void {
    const { formed } = this.#membership
    this.apply({ kind: 'left', workerId, loss: 'dead', certain: true, reason })
    if (!formed) this.apply({ kind: 'failRun', reason: `worker ${workerId} did not come up: ${reason}` })
  }

  status(): object {
    const { phase, generation, group, members, reason } = this.#membership
    const { ledger, schedule } = this.#record
    return {
      runId: this.#run.runId,
      model: this.#run.config.model,
      dataset: this.#run.config.dataset,
      phase,
      reason,
      generation,
      worldSize: group.length,
      step: ledger.steps,
      totalSteps: schedule.totalSteps,
      epoch: Math.floor(ledger.steps / schedule.stepsPerEpoch),
      checkpointStep: this.#record.savedStep,
      workers: [...members.values()].map(({ workerId, step, standing }) => ({
        workerId,
        rank: group.indexOf(workerId),
        step,
        standing,
      })),
    }
  }

  /** What fails here (a full disk, above all) ends the run with its reason instead of crashing it. */
  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#record.abandonCheckpoint()
      this.#over({ status: 'failed', reason: messageOf(error) })
    }
  }

  #receive(peer: string, frames: readonly Uint8Array[]): void {
    const [head, body] = frames
    const message = head ? decodeToCoordinator(head) : null
    if (!head || !message) {
      this.#record.metrics.malformed()
      const version = head ? foreignVersion(head) : null
      if (version !== null) this.#refuseVersion(peer, version)
      return
    }
    if (message.kind === 'hello') return this.#hello(peer, message)
    const worker = this.#peers.workerOf(peer)
    if (worker !== undefined) return this.#handle(worker, message, body ?? null)
    if (message.kind === 'heartbeat')
      this.#peers.reply(peer, { kind: 'expelled', reason: 'this run goes on without this worker' })
  }

  #hello(peer: string, hello: Hello): void {
    const { workerId, runId } = hello
    if (hello.protocolVersion !== protocolVersion) return this.#refuseVersion(peer, hello.protocolVersion)
    if (runId !== null && runId !== this.#run.runId) {
      const message = `this is run ${this.#run.runId}, not ${runId}`
      return this.#peers.reply(peer, { kind: 'refused', code: 'wrong-run', message })
    }
    const unlike = this.#record.unlike(hello)
    if (unlike !== null) return this.#peers.reply(peer, { kind: 'refused', code: 'not-reproducible', message: unlike })
    if (this.#peers.workerOf(peer) === workerId) {
      if (hello.member) return // the line was cut for a moment
      this.apply({ kind: 'left', workerId, loss: 'left', certain: true, reason: 'it starts anew' })
    }
    if (this.#membership.members.has(workerId)) return this.#doubleHello(peer, hello)
    if (hello.member)
      return this.#peers.reply(peer, { kind: 'expelled', reason: 'this run goes on without this worker' })
    this.#admit(peer, hello)
  }

  /** A name that is taken: by a worker that has ended, perhaps, without anybody having noticed yet. */
  #doubleHello(peer: string, hello: Hello): void {
    const { workerId } = hello
    void this.#peers.reaches(workerId, { kind: 'pulse', step: 0 }).then((there) => {
      if (!there && !this.#membership.members.has(workerId)) return this.#guard(() => this.#admit(peer, hello))
      const message = `a worker ${workerId} is here already; start this one with another --id`
      this.#peers.reply(peer, { kind: 'refused', code: 'worker-id-taken', message })
    })
  }

  #admit(peer: string, hello: Hello): void {
    const { workerId, host, processId, backend, threads, absence } = hello
    this.#peers.bind(workerId, peer)
    this.apply({ kind: 'hello', workerId })
    if (!this.#membership.members.has(workerId)) return this.#peers.forget(workerId)
    this.#record.bindBackend(backend)
    this.#run.folder.event('join', { workerId, host, processId, backend, threads, absence })
    const { height, width, channels } = this.#run.dataset
    const { manifest } = this.#blobs
    this.#peers.send(workerId, {
      kind: 'welcome',
      runId: this.#run.runId,
      config: this.#run.config,
      manifest: { ...manifest, chunks: [...manifest.chunks] },
      image: { height, width, channels },
      heartbeatMs,
    })
  }

  #refuseVersion(peer: string, version: number): void {
    this.#peers.reply(peer, {
      kind: 'refused',
      code: 'protocol-version',
      message: `the worker speaks protocol version ${version}, this coordinator version ${protocolVersion}; install the same version of ringleader on both`,
    })
  }

  #handle(workerId: string, message: Exclude<ToCoordinator, { kind: 'hello' }>, bytes: Uint8Array | null): void {
    switch (message.kind) {
      case 'heartbeat':
        this.#record.metrics.heartbeat(workerId, message)
        return this.apply({ ...message, workerId })
      case 'committed':
        for (const step of message.steps) {
          this.#record.committed(message.generation, step, this.#clock.now())
          const { seconds } = step
          this.apply({ kind: 'committed', workerId, generation: message.generation, step: step.step, seconds })
        }
        return
      case 'suspect':
        this.apply({ ...message, workerId, suspect: message.workerId })
        return this.#peers.send(message.workerId, { kind: 'pulse', step: 0 }) // finds out whether it has a connection
      case 'ready':
      case 'joined':
      case 'halted':
      case 'finished':
        return this.apply({ ...message, workerId })
      case 'leave':
        return message.drain
          ? this.apply({ kind: 'drain', workerId, reason: message.reason })
          : this.apply({ kind: 'left', workerId, loss: 'left', certain: true, reason: message.reason })
      case 'blobRequest':
        return this.#serve(workerId, message.sha256)
      case 'replicaHash': {
        const reason = this.#record.replicaHash(workerId, message.step, message.weightsSha256)
        return reason === null ? undefined : this.apply({ kind: 'failRun', reason })
      }
      case 'checkpointBegin':
        return this.#record.beginCheckpoint(message, this.#clock.now())
      case 'checkpointPiece':
        if (bytes) this.#record.writePiece(message.step, message.file, message.offset, bytes)
        return this.#peers.send(workerId, { kind: 'checkpointAck', step: message.step })
      case 'checkpointEnd':
        this.#record.endCheckpoint(message.step)
        this.#peers.send(workerId, { kind: 'checkpointAck', step: message.step })
        return this.apply({ kind: 'stored', step: this.#record.savedStep })
      case 'samples':
        return bytes ? this.#record.samples(message.step, bytes) : undefined
      default:
        message satisfies never
    }
  }

  #serve(workerId: string, sha256: string): void {
    const blob = this.#blobs.get(sha256)
    if (!blob) return this.#record.metrics.malformed()
    this.#record.metrics.served(blob.byteLength)
    this.#peers.send(workerId, { kind: 'blob', sha256 }, blob)
  }

  #carryOut(effect: MembershipEffect): void {
    const now = this.#clock.now()
    switch (effect.kind) {
      case 'form':
        return this.#form(effect)
      case 'start':
        this.#record.started(now)
        for (const worker of effect.group) this.#peers.send(worker, { kind: 'start', generation: effect.generation })
        return
      case 'abort':
      case 'pause':
        for (const worker of effect.workerIds)
          this.#peers.send(worker, { kind: effect.kind, generation: effect.generation, reason: effect.reason })
        return
      case 'refuse':
        return this.#peers.send(effect.workerId, { kind: 'refused', code: effect.code, message: effect.message })
      case 'requestStop':
        for (const worker of effect.workerIds) this.#peers.send(worker, { kind: 'stop', reason: 'stopped on request' })
        return
      case 'lost': {
        this.#peers.send(effect.workerId, { kind: 'expelled', reason: effect.loss.reason })
        this.#peers.forget(effect.workerId)
        this.#record.metrics.gone(effect.workerId)
        const { generation } = this.#membership
        if (effect.wasMember)
          this.#record.lost(effect.loss, { step: effect.step, generation, silentMs: effect.silentMs, now })
        return
      }
      case 'released':
        this.#peers.send(effect.workerId, { kind: 'bye', reason: effect.reason, failed: false })
        this.#peers.forget(effect.workerId)
        return this.#record.left(effect.workerId, effect.reason)
      case 'waiting':
        return this.#record.waiting(effect.ready, effect.wanted, effect.reason)
      case 'end':
        return this.#over(effect.outcome)
      default:
        effect satisfies never
    }
  }

  #form({ generation, quorum }: Extract<MembershipEffect, { kind: 'form' }>): void {
    const { group, state, source, reason } = quorum
    const peers = group.map(({ workerId, endpoint }, rank) => ({ workerId, rank, endpoint }))
    if (state.step < this.#record.ledger.steps && source === null) this.#record.rewound(state.step)
    this.#record.formed(generation, state.step, peers.length, reason)
    const restore = source === null && state.step > 0 ? this.#blobs.restore(this.#record.newestCheckpoint()) : null
    for (const { workerId, rank } of peers)
      this.#peers.send(workerId, { kind: 'form', generation, rank, peers, state, source, restore })
  }
}
