import { availableParallelism } from 'node:os'
import { due, inspectionEvery } from '../shared/core/due.ts'
import { RingleaderError } from '../shared/core/errors.ts'
import type { Restore, StateIdentity, ToCoordinator, ToWorker } from '../shared/protocol/control.ts'
import { CommitReport } from './commit-report.ts'
import { HostSide } from './host-side.ts'
import type { Link } from './link.ts'
import { type Gathering, gathering, gatherStages, pipelineGroup, waitForStore } from './pipeline/gather-stages.ts'
import { encodeCheckpoint, type HeldState, restoreCheckpoint, weightsSha256 } from './step/checkpoint-files.ts'
import type { Group, HostGroup } from './step/group.ts'
import { initializeWeights } from './step/initial-weights.ts'
import type { Votes } from './step/votes.ts'
import type { GroupPlan } from './thread-messages.ts'
import { Notes } from './trace/notes.ts'
import type { Workshop } from './workshop.ts'

export type Formed = Extract<ToWorker, { kind: 'form' }>

const storeAgainMs = 2000
/** Steps between comparisons of all replicas by their hashes, besides those at checkpoints. */
const compareEvery = 100
/** Reductions of a rank that has no others. */
const solo = { allReduce: () => Promise.resolve(0), gather: () => () => Promise.resolve(0), overlaps: false } as const

/** The group cannot go on; this worker can. */
export class GroupOver extends Error {}

/** What a rank wants of the others. */
export type Wishes = Pick<Votes, 'stop' | 'pause'>

type Finished = Omit<Extract<ToCoordinator, { kind: 'finished' }>, 'generation'>

/** One worker in one generation: takes over the state, waits for the start, steps. */
export class GroupRun {
  readonly generation: number
  /** The bits in the shared memory. A fetch that broke off leaves none. */
  holds: StateIdentity | null
  /** Of a stage: the state that it can go back to. */
  before: StateIdentity | null = null
  /** Why the coordinator aborted this generation. */
  aborted: string | null = null
  readonly #link: Link
  readonly #workshop: Workshop
  readonly #formed: Formed
  readonly #notes: Notes
  readonly #commits: CommitReport
  readonly #host: HostSide
  #wake: () => void = () => {}
  #started = false
  #saveWanted = false

  constructor(link: Link, workshop: Workshop, formed: Formed, plan: GroupPlan, holds: StateIdentity | null) {
    this.generation = formed.generation
    this.holds = holds
    this.#link = link
    this.#workshop = workshop
    this.#formed = formed
    this.#notes = new Notes(workshop.clock, workshop.trace?.compute ?? null)
    this.#commits = new CommitReport(link, workshop.clock, formed)
    this.#host = new HostSide(link, workshop, plan, this.#notes)
    workshop.trace?.begin(formed.generation)
    workshop.welcome.config.rollbacks = formed.rollbacks
  }

  start(generation: number): void {
    if (generation !== this.generation) return
    this.#started = true
    this.#wake()
  }

  /** A checkpoint at the next step boundary. */
  saveSoon(): void {
    this.#saveWanted = true
  }

  abort(generation: number, reason: string): void {
    if (generation !== this.generation) return
    this.aborted ??= reason
    this.#wake()
  }

  /** Rejects with GroupOver where the group failed; the state is then that of the last committed step. */
  async run(wishes: () => Wishes): Promise<Finished | { kind: 'paused' }> {
    try {
      await this.#prepare()
      await this.#notes.around('wait for start', {}, () => this.#start())
      await this.#notes.around('catch up', {}, () => this.#catchUp())
      return await this.#steps(wishes)
    } catch (error) {
      this.#commits.tell()
      if (error instanceof RingleaderError && error.code === 'collective') throw new GroupOver(error.message)
      throw error
    } finally {
      this.#host.close()
    }
  }

  /** Sends a checkpoint of the state that this worker holds, and waits until the coordinator has it. */
  async save(): Promise<void> {
    await this.#link.connected
    await this.#checkpoint(this.holds?.step ?? 0, false)
    await this.#sendUntilStored(this.#workshop.state)
  }

  async #sendUntilStored(state: HeldState): Promise<void> {
    for (;;) {
      await this.#link.connected
      if (await this.#sendOnce(state)) return
      if (this.aborted === null) await this.#workshop.clock.sleep(storeAgainMs) // room has to be made first
    }
  }

  /** Whether it arrived whole. */
  async #sendOnce(state: HeldState): Promise<boolean> {
    const { sender } = this.#workshop
    await sender.idle()
    if (this.aborted !== null) throw new GroupOver(this.aborted)
    this.#sendState(state)
    return sender.idle()
  }

  /** Where none is on its way. */
  #sendState(state: HeldState, hash = weightsSha256(state)): void {
    const { sender, welcome } = this.#workshop
    const { checkpointDtype } = welcome.config
    if (!sender.busy) void sender.start(this.holds?.step ?? 0, hash, encodeCheckpoint(state, checkpointDtype))
  }

  /** State that no rank has to give: from a checkpoint, or from the seed. */
  async #prepare(): Promise<void> {
    const { state: wanted, source, restore } = this.#formed
    if (this.#holdsIt() || source !== null) return
    const { state, trainer, welcome, pipeline } = this.#workshop
    this.#hold(null)
    if (restore) await this.#restore(restore)
    else initializeWeights(state, welcome.config.seed, welcome.config.initializer, pipeline?.positions)
    trainer.refresh()
    this.#hold(wanted)
  }

  /** State of a rank that is ahead. It is in this generation for sure, now that all have joined. */
  async #catchUp(): Promise<void> {
    const { state: wanted, source, sources } = this.#formed
    const { pipeline } = this.#workshop
    const from = pipeline ? (sources?.[pipeline.stage] ?? null) : source
    if (this.#holdsIt() || from === null) return
    this.#hold(null)
    await this.#link.fetchState(from, wanted)
    this.#workshop.trainer.refresh()
    this.#hold(wanted)
  }

  #holdsIt(): boolean {
    const { generation, step } = this.#formed.state
    return this.holds?.generation === generation && this.holds.step === step
  }

  async #start(): Promise<void> {
    while (!this.#started) {
      if (this.aborted !== null) throw new GroupOver(this.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async #steps(wishes: () => Wishes): Promise<Finished | { kind: 'paused' }> {
    const { trainer, schedule, backend, welcome, state, clock, threads, trace, pipeline } = this.#workshop
    const { config } = welcome
    const { rank, peers, deal, generation } = this.#formed
    const [spare, leads] = [availableParallelism() >= peers.length * (threads + 1), rank === 0]
    const alone = peers.length === 1 && !state.compression
    let host: HostGroup | null = alone ? { ...solo, factors: trainer.takesFactors, copies: null } : null
    const group: Omit<Group, 'host'> = {
      generation,
      rank,
      ...{ worldSize: peers.length, deal },
      allReduce: alone ? solo.allReduce : this.#notes.leaving((...bucket) => this.#link.allReduce(...bucket)),
      settle: (outcome) => this.#link.settle(outcome),
      ...(pipeline ? { pipeline: pipelineGroup(this.#link, rank, peers.length, pipeline.stages) } : {}),
    }
    const together: Group = { ...group, host: null }
    const inspected = inspectionEvery(config, schedule.stepsPerEpoch)
    let step = this.holds?.step ?? 0
    let stop = false
    let pause = false
    while (step < schedule.totalSteps && !stop && !pause) {
      await this.#link.mayStep
      if (this.aborted !== null) throw new GroupOver(this.aborted)
      const copies = this.#host.copies(host)
      const own = pipeline ? null : this.#host.reduction()
      const votes = {
        ...wishes(),
        checkpoint: this.#saveWanted,
        host: own !== null,
        spare,
        factors: trainer.takesFactors,
        copies: copies !== null,
      }
      const at: { step: number; group: Group } = { step, group: { ...group, host } }
      trace?.step()
      const result = await this.#notes.around('step', at, () => trainer.step(at.step, at.group, votes))
      if (own && result.host)
        host ??= {
          allReduce: this.#notes.reducing((...bucket) => own.allReduce(...bucket)),
          gather: (...bucket) => own.gather(...bucket),
          ...{ overlaps: result.spare, factors: result.factors, copies: null },
        }
      if (host && copies && result.copies && !host.copies) host = { ...host, copies }
      step = result.committed.step
      stop = result.stop
      pause = result.pause
      this.#hold({ generation, step })
      this.#link.uses(backend)
      const last = stop || step === schedule.totalSteps
      const { lastOfEpoch } = schedule.plan(step - 1)
      this.#commits.add(result.committed, pause || last || lastOfEpoch)
      if ((leads || pipeline) && (last || due(step, config.sampleEvery, lastOfEpoch)))
        await this.#sendSamples(step, together)
      if (leads && step % inspected === 0) await this.#inspect(step)
      const asked = result.checkpoint || (config.evaluateEvery > 0 && step % config.evaluateEvery === 0)
      if (result.checkpoint) this.#saveWanted = false
      if (!last && (asked || due(step, config.checkpointEvery, lastOfEpoch)))
        await (pipeline ? this.#storeStages(step, together, gathering.due) : this.#checkpoint(step, leads))
      else if (!last && step % compareEvery === 0) await this.#checkpoint(step, false)
      await clock.sleep(0) // lets messages in
    }
    const paused = pause && !stop && step < schedule.totalSteps
    if (pipeline) await this.#storeStages(step, together, gathering.last, paused)
    else if (!paused) await (leads ? this.save() : this.#checkpoint(step, false))
    if (paused) return { kind: 'paused' }
    return { kind: 'finished', step, weightsSha256: weightsSha256(state), stopped: step < schedule.totalSteps }
  }

  /** Tells the hash of the weights, for comparison; `send`: and the state itself, to be stored. */
  #checkpoint(step: number, send: boolean): Promise<void> {
    this.#commits.tell()
    return this.#notes.around('checkpoint', { step: step - 1 }, async () => {
      const { state } = this.#workshop
      const hash = weightsSha256(state)
      this.#link.send({ kind: 'replicaHash', generation: this.generation, step, weightsSha256: hash })
      if (send) this.#sendState(state, hash)
    })
  }

  /** A checkpoint of all stages. A group does not end before the coordinator has its last one: a stage may be in one memory alone. */
  async #storeStages(step: number, group: Group, why: Gathering, paused = false): Promise<void> {
    await this.#checkpoint(step, false)
    const [{ state, pipeline: seat, sender }, holds] = [this.#workshop, this.holds] as const
    if (!seat || !holds) return
    const stages = { link: this.#link, seat, state, group }
    const whole = await gatherStages(stages, holds, why, why === gathering.last || !sender.busy)
    if (paused) await waitForStore(stages, holds, whole && this.#sendOnce(whole))
    else if (whole && why === gathering.last) await this.#sendUntilStored(whole)
    else if (whole) this.#sendState(whole)
  }

  #sendSamples(step: number, group: Group): Promise<void> {
    this.#commits.tell()
    return this.#notes.around('samples', { step: step - 1 }, async () => {
      for (const picture of ['interpolation', 'samples'] as const) {
        const images = await this.#workshop.trainer.samples(picture, 100, group)
        if (!images) continue
        const bytes = new Uint8Array(images.buffer, images.byteOffset, images.byteLength)
        this.#link.send({ kind: 'samples', picture, step, count: 100 }, bytes)
      }
    })
  }

  #inspect(step: number): Promise<void> {
    this.#commits.tell()
    return this.#notes.around('inspection', { step: step - 1 }, async () => {
      const figures = await this.#workshop.trainer.inspect(step)
      this.#link.send({ kind: 'inspected', generation: this.generation, step, figures })
    })
  }

  async #restore({ weights, optimizer, optimizerSteps }: Restore): Promise<void> {
    const { blobs } = this.#workshop
    const files = await Promise.all([blobs.fetchAll(weights), blobs.fetchAll(optimizer)])
    restoreCheckpoint(this.#workshop.state, ...files, optimizerSteps)
  }

  #hold(state: StateIdentity | null): void {
    this.before = state && this.#workshop.pipeline ? this.holds : null
    this.holds = state
    this.#link.holds(state)
  }
}
