import { assert, exitCode, messageOf, RingleaderError } from '../shared/core/errors.ts'
import { type Log, silentLog } from '../shared/core/log.ts'
import type { StateIdentity, ToCoordinator, ToWorker, Welcome } from '../shared/protocol/control.ts'
import { advertised } from './advertised.ts'
import { BlobClient } from './data/blob-client.ts'
import { type Formed, GroupOver, GroupRun } from './group-run.ts'
import type { Link } from './link.ts'
import type { CheckpointSender } from './step/checkpoint-sender.ts'
import type { GroupPlan } from './thread-messages.ts'
import type { WorkerLog } from './worker-log.ts'
import type { WarmUp, Workshop } from './workshop.ts'

/** A worker's life: hello, warm up, then one group after the other until the run is over. */
export class Session {
  ended: { failed: boolean } | null = null
  readonly #link: Link
  readonly #warmUp: WarmUp
  readonly #advertise: string | null
  readonly #hello: Extract<ToCoordinator, { kind: 'hello' }>
  readonly #blobs: BlobClient
  readonly #end: Promise<never>
  #over: (error: Error) => void = () => {}
  #welcome: Welcome | null = null
  #formed: Formed | null = null
  #group: GroupRun | null = null
  #workshop: Workshop | null = null
  #expelled: string | null = null
  #discard = false
  #stopWanted = false
  #pauseWanted = 0
  /** Why it wants to go. */
  #draining: string | null = null
  #sender: CheckpointSender | null = null
  #wake: () => void = () => {}
  #log: Log = silentLog
  #joins: WorkerLog['joins'] = () => {}
  /** Bits in the shared memory; null where there are none to go on with. */
  #holds: StateIdentity | null = null
  /** Those of the step before, where they can be had again (GroupRun.before). */
  #before: StateIdentity | null = null

  constructor(link: Link, warmUp: WarmUp, advertise: string | null, hello: Extract<ToCoordinator, { kind: 'hello' }>) {
    this.#link = link
    this.#warmUp = warmUp
    this.#advertise = advertise
    this.#hello = hello
    this.#blobs = new BlobClient((sha256) => link.send({ kind: 'blobRequest', sha256 }))
    this.#end = new Promise((_, reject) => {
      this.#over = reject
    })
    this.#end.catch((error: Error) => this.#blobs.fail(error))
    link.onMessage(({ message, bytes }) => this.#receive(message, bytes))
    link.onLost((reason) => {
      link.abort(reason)
      this.#finish(new RingleaderError('coordinator-lost', reason, { exit: exitCode.temporary }))
      this.#group?.abort(this.#group.generation, reason) // a rank that is alone reduces nothing that could fail
    })
    link.onConnection((connected) => {
      this.#log.info(connected ? 'the coordinator is back' : 'the coordinator is out of reach; steps go on')
      this.#sender?.abandon() // of what was sent meanwhile, nothing may have arrived
      if (!connected) return
      this.#blobs.askAgain()
      this.#sayDrain()
    })
  }

  /** What happens to this worker is told there from now on. */
  logTo({ log, joins }: WorkerLog): void {
    this.#log = log
    this.#joins = joins
  }

  /** Leaves at the next step boundary; at once where it is in no group. */
  drain(reason: string): void {
    this.#draining = reason
    this.#log.info('leaves at the next step boundary', { reason })
    this.#sayDrain()
    this.#wake()
  }

  #sayDrain(): void {
    if (this.#draining !== null) this.#link.send({ kind: 'leave', reason: this.#draining, drain: true })
  }

  async run(): Promise<number> {
    const opened = await this.#link.opened
    const endpoint = this.#advertise ?? advertised(opened)
    this.#link.hello(this.#hello)
    const welcome = await this.#until(() => this.#welcome)
    this.#joins(welcome.runId)
    this.#log.info('is welcome', { model: welcome.config.model, dataset: welcome.config.dataset })
    await Promise.race([this.#warm(welcome), this.#end])
    this.#log.info('is warm', { endpoint })
    this.#link.welcomed(welcome.runId, welcome.heartbeatMs)
    let left = 0
    const ready = () => this.#link.send({ kind: 'ready', endpoint, left, ...this.#held() })
    ready()
    for (;;) {
      const formed = await this.#until(() => this.#formed ?? this.#expelled)
      if (typeof formed === 'string') {
        this.#expelled = null
        if (this.#discard) this.#take(null)
        this.#discard = false
        this.#link.hello({ ...this.#hello, runId: welcome.runId })
        await this.#until(() => this.#welcome)
        this.#link.welcomed(welcome.runId, welcome.heartbeatMs)
        ready()
        continue
      }
      this.#formed = null
      left = formed.generation
      await this.#join(formed)
    }
  }

  #take(holds: StateIdentity | null, before: StateIdentity | null = null): void {
    this.#holds = holds
    this.#before = before
  }

  #held(): Pick<Extract<ToCoordinator, { kind: 'ready' }>, 'state' | 'held'> {
    const stage = this.#workshop?.pipeline?.stage
    return { state: this.#holds, ...(stage === undefined ? {} : { held: { stage, before: this.#before } }) }
  }

  /** Before anybody can ask for it: the state of the stage that this rank has in the group, as far as it is here. */
  #sit({ rank, state }: Formed): void {
    const { pipeline } = this.#workshop ?? {}
    if (!pipeline) return
    const stage = rank % pipeline.stages
    if (stage !== pipeline.stage) {
      this.#workshop = pipeline.at(stage)
      this.#link.useMemory(this.#workshop.state)
      this.#take(null)
    } else if (!isSame(this.#holds, state) && isSame(this.#before, state)) {
      pipeline.undo()
      this.#take(this.#before)
    } else return
    this.#link.holds(this.#holds)
  }

  /** Takes part in one generation to its end, however it ends. */
  async #join(formed: Formed): Promise<void> {
    const workshop = this.#workshop
    assert(workshop, 'a worker is warm before it joins')
    const group = new GroupRun(this.#link, workshop, formed, this.#planOf(formed), this.#holds)
    this.#group = group
    const { generation } = formed
    const { rank, peers, state, source } = formed
    this.#log.info('joins a group', { joins: generation, rank, worldSize: peers.length, from: state.step, source })
    const wishes = () => ({ stop: this.#stopWanted, pause: this.#pauseWanted === generation })
    try {
      const result = await Promise.race([group.run(wishes), this.#end])
      // The last one out leaves its state behind.
      if (result.kind === 'paused' && this.#draining !== null && formed.peers.length === 1) await group.save()
      if (result.kind === 'finished') this.#link.send({ ...result, generation })
      else this.#tellHalted(group, 'paused', 'at a step boundary')
      this.#log.info(result.kind === 'finished' ? 'finished' : 'halts at a step boundary')
      if (result.kind === 'finished') {
        const reason = await this.#until(() => group.aborted ?? this.#expelled)
        if (!this.#expelled) this.#halted(group, 'aborted', reason)
      }
    } catch (error) {
      if (this.ended || !(error instanceof GroupOver)) {
        if (!this.ended) this.#link.send({ kind: 'leave', reason: messageOf(error), drain: false }) // its own failure
        throw error
      }
      this.#halted(group, group.aborted === null ? 'failed' : 'aborted', messageOf(error))
    } finally {
      this.#take(group.holds, group.before)
      this.#group = null
    }
  }

  #halted(group: GroupRun, cause: 'failed' | 'aborted', reason: string): void {
    this.#log.info('halts', { cause, reason })
    this.#tellHalted(group, cause, reason)
  }

  #tellHalted(group: GroupRun, cause: 'failed' | 'aborted' | 'paused', reason: string): void {
    this.#take(group.holds, group.before)
    this.#link.send({ kind: 'halted', generation: group.generation, ...this.#held(), cause, reason })
  }

  /** Ends what was started for this session. */
  async close(): Promise<void> {
    await this.#workshop?.close()
  }

  async #warm(welcome: Welcome): Promise<Workshop> {
    const workshop = await this.#warmUp(welcome, this.#link, this.#blobs)
    this.#workshop = workshop
    this.#link.useMemory(workshop.state)
    this.#sender = workshop.sender
    return workshop
  }

  #receive(message: ToWorker, bytes: Uint8Array | null): void {
    if (message.kind !== 'pulse') this.#log.debug('hears', { message: message.kind })
    switch (message.kind) {
      case 'welcome':
        this.#welcome = message
        break
      case 'refused':
        return this.#finish(
          new RingleaderError(message.code, `the coordinator refused: ${message.message}`, { exit: exitCode.config }),
        )
      case 'form':
        this.#sit(message)
        this.#link.form(this.#planOf(message))
        this.#formed = message
        break
      case 'start':
        this.#group?.start(message.generation)
        break
      case 'abort':
        this.#group?.abort(message.generation, message.reason)
        break
      case 'pause':
        this.#pauseWanted = message.generation
        break
      case 'expelled':
        this.#welcome = null
        this.#formed = null
        this.#expelled = message.reason
        this.#log.info('is expelled', { reason: message.reason, discard: message.discard })
        this.#discard ||= message.discard
        this.#sender?.abandon()
        this.#group?.abort(this.#group.generation, message.reason)
        break
      case 'checkpoint':
        this.#group?.saveSoon()
        break
      case 'stop':
        this.#stopWanted = true
        break
      case 'checkpointAck':
        return this.#sender?.acknowledge(message.step)
      case 'checkpointFailed':
        return this.#sender?.abandon()
      case 'blob':
        return bytes ? this.#blobs.receive(message.sha256, bytes) : undefined
      case 'bye':
        this.ended = { failed: message.failed }
        return this.#finish(new RingleaderError('run-over', message.reason))
      case 'pulse':
        return
      default:
        message satisfies never
    }
    this.#wake()
  }

  #planOf({ generation, rank, peers, deal, hub }: Formed): GroupPlan {
    const config = this.#welcome?.config
    const lanes = config?.reproducible ? deal : null
    const { algorithm = 'auto', wire = 'auto' } = config ?? {}
    return { generation, rank, peers, lanes, algorithm, wire, hub, stages: config?.pipelineStages ?? 1 }
  }

  /** Waits until there is something, or the run is over. */
  async #until<Value>(look: () => Value | null): Promise<Value> {
    for (;;) {
      const value = look()
      if (value !== null) return value
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      await Promise.race([woken, this.#end])
    }
  }

  #finish(error: Error): void {
    this.#over(error)
    this.#wake()
  }
}

function isSame(a: StateIdentity | null, b: StateIdentity): boolean {
  return a?.generation === b.generation && a.step === b.step
}
