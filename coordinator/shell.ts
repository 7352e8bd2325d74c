import type { Clock } from '../shared/core/clock.ts'
import { messageOf } from '../shared/core/errors.ts'
import { limits } from '../shared/core/limits.ts'
import { decodeToCoordinator, encodeForm, foreignVersion, type ToCoordinator } from '../shared/protocol/control.ts'
import { runTag } from '../shared/protocol/frame.ts'
import { workerOfHubPeer } from '../shared/protocol/hub.ts'
import type { ControlServer } from '../shared/transport/control-socket.ts'
import { Actions } from './actions.ts'
import { BlobStore } from './blob-store.ts'
import type { CheckpointMessage } from './checkpoint/checkpoint-intake.ts'
import { Comparison } from './comparison.ts'
import { Hub } from './hub.ts'
import { type MembershipEffect, type MembershipEvent, startMessage } from './membership/events.ts'
import type { DealRule } from './membership/lane-dealer.ts'
import { decide } from './membership/membership.ts'
import { inheritedMembership, initialMembership, type Outcome } from './membership/state.ts'
import { Peers } from './peers.ts'
import type { PreparedRun } from './prepare-run.ts'
import { Reception } from './reception.ts'
import { hubRule } from './run-algorithm.ts'
import type { RunRecord } from './run-record.ts'
import { statusOf } from './status.ts'
import { storeSamples } from './store-samples.ts'
import type { Summary } from './summary.ts'
import { type GroupTrace, openTrace } from './trace/group-trace.ts'

const heartbeatMs = 250
const tickMs = 100
const pulseMs = 1000

export interface ShellOptions {
  /** The first group waits for so many workers. */
  readonly startWorkers: number
  readonly faultMs: number
  /** When lanes are dealt anew; left out: as usual. */
  readonly deal?: DealRule
}

/** Carries messages to the pure membership and its effects back to the workers. */
export class Shell {
  readonly #run: PreparedRun
  readonly #record: RunRecord
  readonly #server: ControlServer
  readonly #blobs: BlobStore
  readonly #peers: Peers
  readonly #hub: Hub
  readonly #clock: Clock
  readonly reception: Reception
  readonly #comparison: Comparison
  readonly actions: Actions
  readonly #trace: GroupTrace | null
  #membership
  /** Step of the state that this generation began with. */
  #wentOnFrom = 0
  #over: (outcome: Outcome) => void = () => {}
  readonly #outcome: Promise<Outcome>

  constructor(run: PreparedRun, record: RunRecord, server: ControlServer, options: ShellOptions, clock: Clock) {
    this.#run = run
    this.#clock = clock
    this.#trace = openTrace(run, clock)
    this.#record = record
    this.#server = server
    this.#blobs = new BlobStore(run.dataset)
    this.#peers = new Peers(server, (workerId) =>
      this.apply({ kind: 'left', workerId, loss: 'dead', certain: false, reason: 'its connection is closed' }),
    )
    this.#hub = new Hub({
      send: (peer, frames) => void server.send(peer, frames),
      malformed: () => record.metrics.malformed(),
      abort: (generation, reason) => this.#peers.broadcast({ kind: 'abort', generation, reason }),
    })
    const { minWorkers, maxWorkers, pipelineStages: stages } = run.config
    const times = { orphanMs: limits.orphanMs + options.faultMs, heartbeatMs }
    const rules = { minWorkers, maxWorkers, ...options, ...times, hub: hubRule(run.config), stages } as const
    const from = { generation: record.generation, storedStep: record.checkpoints.step, held: record.notes.held }
    this.#membership = record.inherited
      ? inheritedMembership(rules, { ...from, ...record.inherited }, this.#clock.now())
      : initialMembership(rules, from)
    this.#wentOnFrom = this.#membership.furthest?.step ?? 0
    const membership = () => this.#membership
    const apply = (event: MembershipEvent) => this.apply(event)
    record.metrics.watch(membership)
    const parts = { run, record, heartbeatMs, peers: this.#peers, blobs: this.#blobs }
    this.reception = new Reception({ ...parts, membership, apply })
    this.#comparison = new Comparison(record, membership, apply, options.deal, clock.now())
    this.actions = new Actions(record, membership, apply)
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
    const stopPulses = this.#clock.every(pulseMs, () => this.#guard(() => this.#pulse()))
    const outcome = await this.#outcome
    stopTicks()
    stopPulses()
    this.#peers.broadcast({ kind: 'bye', reason: outcome.reason, failed: outcome.status === 'failed' })
    await this.#server.close()
    return this.#record.finish(outcome.status, outcome.reason, this.#clock.now())
  }

  /** Workers forget what they hear is noted, so it has to be on the disk first. */
  #pulse(): void {
    this.#record.sync()
    this.#peers.broadcast({ kind: 'pulse', step: this.#record.notedStep, time: this.#clock.now() })
  }

  apply(event: MembershipEvent): void {
    this.#guard(() => {
      const now = this.#clock.now()
      const { state, effects } = decide(this.#membership, event, now)
      this.#membership = state
      this.#record.goodput.follow(event, effects, now)
      for (const effect of effects) this.#carryOut(effect, now)
    })
  }

  /** Before the first group nobody would come in its place; later somebody may. */
  workerExited({ workerId, processId, reason }: { workerId: string; processId: number; reason: string }): void {
    const { formed, members, generation } = this.#membership
    const last = this.reception.processOf(workerId)
    if (members.has(workerId) && last !== undefined && last !== processId) return // the process after it is here already
    if (!members.has(workerId) && last !== processId) {
      const at = { step: this.#record.ledger.steps, generation, wasMember: false, silentMs: 0, now: this.#clock.now() }
      this.#record.lost({ kind: 'dead', workerId, reason }, at)
    }
    this.apply({ kind: 'left', workerId, loss: 'dead', certain: true, reason })
    if (!formed) this.apply({ kind: 'failRun', reason: `worker ${workerId} did not come up: ${reason}` })
  }

  status(): object {
    return statusOf(this.#run, this.#record, this.#membership, (workerId) => this.#comparison.pace(workerId))
  }

  /** What fails here (a full disk, above all) ends the run with its reason instead of crashing it. */
  #guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      this.#record.checkpoints.abandon()
      this.#over({ status: 'failed', reason: messageOf(error) })
    }
  }

  #receive(peer: string, frames: readonly Uint8Array[]): void {
    const hubWorker = workerOfHubPeer(peer)
    if (hubWorker !== null) return this.#hub.receive(peer, hubWorker, frames)
    const [head, body] = frames
    const message = head ? decodeToCoordinator(head) : null
    if (!head || !message) {
      this.#record.metrics.malformed()
      const version = head ? foreignVersion(head) : null
      if (version !== null) this.reception.refuseVersion(peer, version)
      return
    }
    if (message.kind === 'hello') return this.reception.hello(peer, message)
    const worker = this.#peers.workerOf(peer)
    if (worker !== undefined) return this.#handle(worker, message, body ?? null)
    if (message.kind === 'heartbeat') this.reception.stranger(peer, message.attempt)
  }

  #handle(workerId: string, message: Exclude<ToCoordinator, { kind: 'hello' }>, bytes: Uint8Array | null): void {
    switch (message.kind) {
      case 'heartbeat':
        this.#record.metrics.heartbeat(workerId, message)
        this.#trace?.heartbeat(workerId, message)
        return this.apply({ ...message, workerId })
      case 'committed':
        for (const step of message.steps.filter((each) => this.#counts(message.generation, each.step))) {
          this.#record.committed(message.generation, step, this.#clock.now())
          this.apply({ ...step, kind: 'committed', workerId, generation: message.generation })
        }
        this.#comparison.steps(workerId, message, this.#clock.now())
        return this.#intervene()
      case 'inspected':
        return this.#counts(message.generation, message.step) ? this.#record.stability.inspected(message) : undefined
      case 'suspect':
        this.apply({ ...message, workerId, suspect: message.workerId })
        return this.#peers.send(message.workerId, { kind: 'pulse', step: 0, time: null }) // finds out whether it has a connection
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
      case 'replicaHash':
        return this.#comparison.hash(workerId, message)
      case 'checkpointBegin':
      case 'checkpointPiece':
      case 'checkpointEnd':
        return this.#checkpoint(workerId, message, bytes)
      case 'samples':
        return bytes ? storeSamples(this.#run, message, bytes) : undefined
      case 'trace':
        return this.#trace?.records(workerId, message, bytes) === false ? this.#record.metrics.malformed() : undefined
      default:
        message satisfies never
    }
  }

  /** A step of a generation that is over counts only as far as the state that the group went on from. */
  #counts(generation: number, step: number): boolean {
    return generation === this.#membership.generation || step <= this.#wentOnFrom
  }

  /** After too many skipped steps in a row, or an alarm. */
  #intervene(): void {
    const due = this.#record.stability.due()
    if (due) this.apply(due)
  }

  #checkpoint(workerId: string, message: CheckpointMessage, bytes: Uint8Array | null): void {
    const { step } = message
    if (!this.#record.checkpoint(message, bytes, this.#clock.now()))
      return this.#peers.send(workerId, { kind: 'checkpointFailed', step })
    if (message.kind !== 'checkpointBegin') this.#peers.send(workerId, { kind: 'checkpointAck', step })
    if (message.kind === 'checkpointEnd') this.apply({ kind: 'stored', step: this.#record.checkpoints.step })
  }

  #serve(workerId: string, sha256: string): void {
    const blob = this.#blobs.get(sha256)
    if (!blob) return this.#record.metrics.malformed()
    this.#record.metrics.served(blob.byteLength)
    this.#peers.send(workerId, { kind: 'blob', sha256 }, blob)
  }

  #carryOut(effect: MembershipEffect, now: number): void {
    switch (effect.kind) {
      case 'form':
        return this.#form(effect, now)
      case 'start':
        this.#record.started(effect.generation, effect.topology, this.reception.seatsOf(effect.group), now)
        return this.#peers.sendAll(effect.group, startMessage(effect))
      case 'startAgain':
        return this.#peers.send(effect.workerId, startMessage(effect))
      case 'abort':
      case 'pause': {
        const { kind, generation, workerIds, reason } = effect
        return this.#peers.sendAll(workerIds, { kind, generation, reason })
      }
      case 'refuse':
        return this.#peers.send(effect.workerId, { kind: 'refused', code: effect.code, message: effect.message })
      case 'request':
        return this.#peers.sendAll(effect.workerIds, effect.message)
      case 'lost': {
        this.#peers.send(effect.workerId, {
          ...{ kind: 'expelled', attempt: this.reception.attemptOf(effect.workerId) },
          ...{ reason: effect.loss.reason, discard: effect.loss.kind === 'diverged' },
        })
        this.#peers.forget(effect.workerId)
        this.#record.metrics.gone(effect.workerId)
        if (effect.wasMember || effect.loss.kind !== 'left') this.#record.lost(effect.loss, { ...effect, now })
        return
      }
      case 'released':
        this.#peers.send(effect.workerId, { kind: 'bye', reason: effect.reason, failed: false })
        this.#peers.forget(effect.workerId)
        this.#record.metrics.gone(effect.workerId)
        return this.#record.left(effect.workerId, effect.reason)
      case 'waiting':
        return this.#record.waiting(effect.ready, effect.wanted, effect.reason, now)
      case 'end':
        return this.#over(effect.outcome)
      default:
        effect satisfies never
    }
  }

  #form({ generation, quorum, hub }: Extract<MembershipEffect, { kind: 'form' }>, now: number): void {
    const { group, reason, ...from } = quorum
    const peers = group.map(({ workerId, endpoint }, rank) => ({ workerId, rank, endpoint }))
    if (from.state.step < this.#record.ledger.steps && from.source === null) this.#record.rewound(from.state.step)
    this.#wentOnFrom = from.state.step
    const workerIds = group.map(({ workerId }) => workerId)
    const { deal, seats } = this.#comparison.formed(group, now)
    this.#record.formed(generation, seats, from.state, reason, hub)
    const stored = from.source === null && from.state.step > 0
    const restore = stored ? this.#blobs.restore(this.#record.checkpoints.newest()) : null
    const { rollbacks, reproducible } = this.#run.config
    const byHub = { run: runTag(this.#run.runId), generation, workerIds, lanes: reproducible ? deal : null }
    this.#hub.form(hub ? byHub : null)
    const encoded = encodeForm({ kind: 'form', generation, peers, deal: [...deal], ...from, restore, rollbacks, hub })
    for (const { workerId, rank } of peers) this.#peers.sendEncoded(workerId, encoded(rank))
  }
}
