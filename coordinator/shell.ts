import { messageOf } from '../shared/core/errors.ts'
import {
  decodeToCoordinator,
  encodeControl,
  foreignVersion,
  protocolVersion,
  type ToCoordinator,
  type ToWorker,
} from '../shared/protocol/control.ts'
import type { ControlServer } from '../shared/transport/control-socket.ts'
import { BlobStore } from './blob-store.ts'
import {
  decide,
  initialMembership,
  type MembershipEffect,
  type MembershipEvent,
  type Outcome,
} from './membership/membership.ts'
import type { PreparedRun } from './prepare-run.ts'
import type { RunRecord, Summary } from './run-record.ts'

const heartbeatMs = 500
const silenceMs = 3000
const salvageMs = 20_000

/** Carries messages to the pure membership and its effects back to the workers. */
export class Shell {
  readonly #run: PreparedRun
  readonly #record: RunRecord
  readonly #server: ControlServer
  readonly #blobs: BlobStore
  readonly #peers = new Map<string, string>()
  readonly #workers = new Map<string, string>()
  #membership
  #salvage: NodeJS.Timeout | null = null
  #over: (outcome: Outcome) => void = () => {}
  readonly #outcome: Promise<Outcome>

  constructor(run: PreparedRun, record: RunRecord, server: ControlServer) {
    this.#run = run
    this.#record = record
    this.#server = server
    this.#blobs = new BlobStore(run.dataset, run.checkpoint)
    const { minWorkers, maxWorkers } = run.config
    this.#membership = initialMembership({ minWorkers, maxWorkers, silenceMs, generation: record.generation })
    this.#outcome = new Promise((resolve) => {
      this.#over = resolve
    })
  }

  async run(): Promise<Summary> {
    this.#server.onMessage((peer, frames) => this.#guard(() => this.#receive(peer, frames)))
    const ticks = setInterval(() => this.apply({ kind: 'tick' }), 250)
    const pulses = setInterval(() => {
      for (const worker of this.#peers.keys()) this.#send(worker, { kind: 'pulse' })
    }, 1000)
    const outcome = await this.#outcome
    clearInterval(ticks)
    clearInterval(pulses)
    if (this.#salvage) clearTimeout(this.#salvage)
    for (const worker of this.#peers.keys())
      this.#send(worker, { kind: 'bye', reason: outcome.reason, failed: outcome.status === 'failed' })
    await this.#server.close()
    return this.#record.finish(outcome.status, outcome.reason, performance.now())
  }

  apply(event: MembershipEvent): void {
    this.#guard(() => {
      const { state, effects } = decide(this.#membership, event, performance.now())
      this.#membership = state
      for (const effect of effects) this.#carryOut(effect)
    })
  }

  /** One that never said hello leaves too few for a group; nobody would come in its place. */
  workerExited(workerId: string, reason: string): void {
    if (this.#membership.members.has(workerId)) this.apply({ kind: 'left', workerId, reason })
    else if (this.#membership.phase === 'waiting')
      this.#over({ status: 'failed', reason: `worker ${workerId} did not come up: ${reason}` })
  }

  status(): object {
    const { phase, generation, group, members } = this.#membership
    const { ledger, schedule } = this.#record
    return {
      runId: this.#run.runId,
      model: this.#run.config.model,
      dataset: this.#run.config.dataset,
      phase,
      generation,
      worldSize: group.length,
      step: ledger.steps,
      totalSteps: schedule.totalSteps,
      epoch: Math.floor(ledger.steps / schedule.stepsPerEpoch),
      checkpointStep: this.#record.savedStep,
      workers: [...members.values()].map(({ workerId, step, joined }) => ({
        workerId,
        rank: group.indexOf(workerId),
        step,
        joined,
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
      if (version !== null) this.#refuse(peer, version)
      return
    }
    if (message.kind === 'hello') return this.#hello(peer, message)
    const worker = this.#workers.get(peer)
    if (worker) this.#handle(worker, message, body ?? null)
  }

  #hello(peer: string, hello: Extract<ToCoordinator, { kind: 'hello' }>): void {
    const { workerId } = hello
    if (hello.protocolVersion !== protocolVersion) return this.#refuse(peer, hello.protocolVersion)
    if (hello.runId !== null && hello.runId !== this.#run.runId) {
      return this.#reply(peer, {
        kind: 'refused',
        code: 'wrong-run',
        message: `this is run ${this.#run.runId}, not ${hello.runId}`,
      })
    }
    if (this.#membership.members.has(workerId)) {
      return this.#reply(peer, {
        kind: 'refused',
        code: 'worker-id-taken',
        message: `a worker ${workerId} is here already; start this one with another --id`,
      })
    }
    this.#peers.set(workerId, peer)
    this.#workers.set(peer, workerId)
    this.apply({ kind: 'hello', workerId })
    if (!this.#membership.members.has(workerId)) return this.#forget(workerId)
    this.#record.backend ||= hello.backend
    this.#run.folder.event('join', {
      workerId,
      host: hello.host,
      processId: hello.processId,
      backend: hello.backend,
      threads: hello.threads,
    })
    const { height, width, channels } = this.#run.dataset
    const { manifest, restore } = this.#blobs
    this.#send(workerId, {
      kind: 'welcome',
      runId: this.#run.runId,
      config: this.#run.config,
      manifest: { ...manifest, chunks: [...manifest.chunks] },
      image: { height, width, channels },
      restore,
      heartbeatMs,
    })
  }

  #refuse(peer: string, version: number): void {
    this.#reply(peer, {
      kind: 'refused',
      code: 'protocol-version',
      message: `the worker speaks protocol version ${version}, this coordinator version ${protocolVersion}; install the same version of ringleader on both`,
    })
  }

  #handle(workerId: string, message: Exclude<ToCoordinator, { kind: 'hello' }>, bytes: Uint8Array | null): void {
    switch (message.kind) {
      case 'ready':
        return this.apply({ ...message, workerId })
      case 'heartbeat':
        this.#record.metrics.heartbeat(workerId, message)
        return this.apply({ kind: 'heard', workerId, step: message.step })
      case 'joined':
        return this.apply({ ...message, workerId })
      case 'committed':
        for (const step of message.steps) this.#record.committed(step)
        return this.apply({ kind: 'heard', workerId, step: message.steps.at(-1)?.step ?? null })
      case 'failed':
        return this.apply({ ...message, workerId })
      case 'blobRequest':
        return this.#serve(workerId, message.sha256)
      case 'replicaHash': {
        const reason = this.#record.replicaHash(workerId, message.step, message.weightsSha256)
        return reason === null ? undefined : this.apply({ kind: 'diverged', step: message.step, reason })
      }
      case 'checkpointBegin':
        this.#record.beginCheckpoint(message, performance.now())
        return
      case 'checkpointPiece':
        if (bytes) this.#record.writePiece(message.step, message.file, message.offset, bytes)
        return this.#send(workerId, { kind: 'checkpointAck', step: message.step })
      case 'checkpointEnd':
        this.#record.endCheckpoint(message.step)
        this.#send(workerId, { kind: 'checkpointAck', step: message.step })
        return this.#salvage ? this.#endAfterSalvage() : undefined
      case 'samples':
        return bytes ? this.#record.samples(message.step, bytes) : undefined
      case 'finished':
        return this.apply({ ...message, workerId })
      case 'leave':
        return this.apply({ kind: 'left', workerId, reason: message.reason })
      default:
        message satisfies never
    }
  }

  #serve(workerId: string, sha256: string): void {
    const blob = this.#blobs.get(sha256)
    if (!blob) return this.#record.metrics.malformed()
    this.#record.metrics.served(blob.byteLength)
    const peer = this.#peers.get(workerId)
    if (peer) this.#server.send(peer, [encodeControl({ kind: 'blob', sha256 }), blob])
  }

  #carryOut(effect: MembershipEffect): void {
    switch (effect.kind) {
      case 'form': {
        const peers = effect.group.map((member, rank) => ({
          workerId: member.workerId,
          rank,
          endpoint: member.endpoint ?? '',
        }))
        this.#record.formed(effect.generation, effect.step, peers.length, effect.reason)
        for (const { workerId, rank } of peers)
          this.#send(workerId, { kind: 'form', generation: effect.generation, rank, step: effect.step, peers })
        return
      }
      case 'start':
        for (const worker of effect.group) this.#send(worker, { kind: 'start', generation: effect.generation })
        return
      case 'abort':
        for (const worker of effect.workerIds)
          this.#send(worker, { kind: 'abort', generation: effect.generation, reason: effect.reason })
        return
      case 'refuse':
        return this.#send(effect.workerId, { kind: 'refused', code: effect.code, message: effect.message })
      case 'requestStop':
        for (const worker of effect.workerIds) this.#send(worker, { kind: 'stop', reason: 'stopped on request' })
        return
      case 'lost':
        this.#forget(effect.workerId)
        this.#record.incident(
          {
            kind: 'worker-lost',
            workerId: effect.workerId,
            step: effect.step,
            detectMs: Math.round(effect.detectMs),
            reformMs: null,
            firstCommitMs: null,
          },
          effect.reason,
        )
        return
      case 'salvage':
        if (effect.step <= this.#record.savedStep) return this.#endAfterSalvage()
        this.#send(effect.workerId, { kind: 'checkpointNow', step: effect.step })
        this.#salvage = setTimeout(() => this.#endAfterSalvage(), salvageMs)
        return
      case 'end':
        return this.#over(effect.outcome)
      default:
        effect satisfies never
    }
  }

  #endAfterSalvage(): void {
    if (this.#membership.outcome) this.#over(this.#membership.outcome)
  }

  #forget(workerId: string): void {
    const peer = this.#peers.get(workerId)
    this.#peers.delete(workerId)
    if (peer) this.#workers.delete(peer)
  }

  #send(workerId: string, message: ToWorker): void {
    const peer = this.#peers.get(workerId)
    if (peer) this.#reply(peer, message)
  }

  #reply(peer: string, message: ToWorker): void {
    this.#server.send(peer, [encodeControl(message)])
  }
}
