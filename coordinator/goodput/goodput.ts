import type { CommittedStep } from '../../shared/protocol/control.ts'
import type { MembershipEffect, MembershipEvent } from '../membership/events.ts'
import { type GoodputFigures, type GoodputPart, type GoodputSeconds, type NotedGoodput, nothing } from './parts.ts'

/** A worker that is here. What it did before `since` is in the sums. */
interface Presence {
  since: number
  /** `running`: only its reports tell what it did; `halting`: it may have told not all of it yet. */
  standing: 'starting' | 'running' | 'halting' | 'reforming' | 'paused'
  /** It has been in a group that stepped. */
  trained: boolean
  generation: number
  /** When its group was told to halt. */
  haltedAt: number
  /** The step under way is thrown away. */
  aborted: boolean
  /** This coordinator told its group to start. */
  startSeen: boolean
  /** By the worker's clock, in milliseconds; null: it has told of none. */
  lastCommit: number | null
  /** Of its last step, outside of collectives. */
  computeSeconds: number
  /** Time between steps that is not in the sums, by the worker's clock, which tells whole milliseconds alone. */
  carriedSeconds: number
}

/** A clock that jumped back must not hide the time between steps for longer than this. */
const leastCarriedSeconds = -1
/** Workers do not go on without a coordinator for longer; and its clock may be another one now. */
const longestAbsenceMs = 600_000

/**
 * Where the time of all workers went, from hello to the end: each second of each is in one part. Fed with what the
 * membership heard and decided, and with what workers tell of their steps. Pure.
 */
export class Goodput {
  readonly #seconds: Record<GoodputPart, number>
  readonly #workers = new Map<string, Presence>()
  #now: number
  /** The last step that anybody has told of, and the last one that is computed once more. */
  #furthest: number
  #redoThrough: number

  /** `noted`: by the coordinator before this one, whose group steps still, by name. Times in milliseconds. */
  constructor(now: number, noted: NotedGoodput = nothing, group: readonly string[] = [], generation = 0) {
    this.#now = now
    this.#seconds = { ...noted.seconds }
    this.#furthest = noted.furthest
    this.#redoThrough = noted.redoThrough
    const untoldMs = (1000 * noted.untoldSeconds) / Math.max(1, group.length)
    const since = Math.min(now, Math.max(now - longestAbsenceMs, noted.at - untoldMs))
    for (const workerId of group)
      this.#workers.set(workerId, { ...arrived(since), standing: 'running', trained: true, generation })
  }

  /** An event of the membership, and what it led to. */
  follow(event: MembershipEvent, effects: readonly MembershipEffect[], now: number): void {
    this.#now = Math.max(this.#now, now)
    if (event.kind === 'hello' && !effects.some(({ kind }) => kind === 'refuse')) this.#arrives(event.workerId)
    if (event.kind === 'halted') this.#halted(event.workerId, event.generation)
    for (const effect of effects) this.#decided(effect)
  }

  /** A worker's steps, in order, once each. */
  steps(workerId: string, generation: number, steps: readonly CommittedStep[]): void {
    const worker = this.#workers.get(workerId)
    const [first, last] = [steps[0], steps.at(-1)]
    if (worker?.generation !== generation || !first || !last) return
    if (worker.standing !== 'running' && worker.standing !== 'halting') return
    if (worker.lastCommit === null) {
      // What went by before its first step: the start, and fetching the state.
      const ownSeconds = (last.time - first.time) / 1000 + first.seconds
      if (worker.startSeen) this.#add(worker, 'other', this.#untold(worker) - ownSeconds)
      worker.lastCommit = first.time - 1000 * first.seconds
    }
    for (const step of steps) this.#step(worker, step)
  }

  /** Shares of all that is accounted for; of workers that step, up to their last report. */
  get figures(): GoodputFigures {
    for (const worker of this.#workers.values()) this.#settleEager(worker)
    const seconds = rounded(this.#seconds)
    const workerSeconds = Object.values(seconds).reduce((sum, value) => sum + value, 0)
    return {
      workerSeconds: Math.round(1000 * workerSeconds) / 1000,
      share: workerSeconds === 0 ? 0 : Math.round((10_000 * seconds.useful) / workerSeconds) / 10_000,
      seconds,
    }
  }

  /** Sums that only grow, in seconds. */
  get seconds(): GoodputSeconds {
    for (const worker of this.#workers.values()) this.#settleEager(worker)
    return this.#seconds
  }

  /** What a coordinator after this one has to know. */
  get noted(): NotedGoodput {
    const seconds = { ...this.seconds }
    let untoldSeconds = 0
    for (const worker of this.#workers.values()) untoldSeconds += this.#untold(worker)
    return { seconds, untoldSeconds, at: this.#now, furthest: this.#furthest, redoThrough: this.#redoThrough }
  }

  /** Nobody is here any more. */
  end(now: number): void {
    this.#now = Math.max(this.#now, now)
    for (const workerId of [...this.#workers.keys()]) this.#leaves(workerId)
  }

  #arrives(workerId: string): void {
    this.#leaves(workerId)
    this.#workers.set(workerId, arrived(this.#now))
  }

  #leaves(workerId: string): void {
    const worker = this.#workers.get(workerId)
    if (worker) this.#settle(worker)
    this.#workers.delete(workerId)
  }

  #halted(workerId: string, generation: number): void {
    const worker = this.#workers.get(workerId)
    if (worker?.generation !== generation || (worker.standing !== 'running' && worker.standing !== 'halting')) return
    this.#settle(worker)
    worker.standing = 'reforming'
  }

  #decided(effect: MembershipEffect): void {
    switch (effect.kind) {
      case 'abort':
      case 'pause':
        return this.#halt(effect.generation, effect.kind === 'abort')
      case 'form': {
        const { group, state } = effect.quorum
        if (state.step < this.#furthest) this.#redoThrough = this.#furthest
        for (const { workerId } of group) this.#move(workerId, 'reforming', effect.generation)
        return
      }
      case 'start': {
        const group = new Set(effect.group)
        for (const workerId of this.#workers.keys())
          this.#move(workerId, group.has(workerId) ? 'running' : 'starting', effect.generation)
        return
      }
      case 'waiting':
        for (const workerId of this.#workers.keys()) this.#move(workerId, 'paused', 0)
        return
      case 'lost': {
        const worker = this.#workers.get(effect.workerId)
        if (worker?.standing === 'running') Object.assign(worker, { aborted: true, haltedAt: this.#now })
        return this.#leaves(effect.workerId)
      }
      case 'released':
        return this.#leaves(effect.workerId)
      default:
        return
    }
  }

  #halt(generation: number, aborted: boolean): void {
    for (const worker of this.#workers.values()) {
      if (worker.generation !== generation) continue
      if (worker.standing !== 'running' && worker.standing !== 'halting') continue
      if (worker.standing === 'running' || (aborted && !worker.aborted)) worker.haltedAt = this.#now
      worker.aborted ||= aborted
      worker.standing = 'halting'
    }
  }

  /** One that has never stepped in a group is starting, whatever the others do. */
  #move(workerId: string, standing: Presence['standing'], generation: number): void {
    const worker = this.#workers.get(workerId)
    if (!worker) return
    this.#settle(worker)
    if (standing === 'running') {
      Object.assign(worker, { trained: true, startSeen: true, lastCommit: null, carriedSeconds: 0, computeSeconds: 0 })
      worker.aborted = false
    }
    worker.standing = worker.trained ? standing : 'starting'
    worker.generation = generation
  }

  #step(worker: Presence, step: CommittedStep): void {
    const { seconds, allReduceSeconds, time } = step
    const between = (time - (worker.lastCommit ?? time)) / 1000 - seconds
    worker.carriedSeconds = Math.max(leastCarriedSeconds, worker.carriedSeconds + between)
    if (worker.carriedSeconds > 0) {
      this.#add(worker, 'other', worker.carriedSeconds)
      worker.carriedSeconds = 0
    }
    worker.lastCommit = time
    worker.computeSeconds = Math.max(0, seconds - allReduceSeconds)
    if (step.step <= this.#redoThrough) this.#add(worker, 'recomputed', seconds)
    else {
      this.#add(worker, 'useful', worker.computeSeconds)
      this.#add(worker, 'waiting', allReduceSeconds)
    }
    this.#furthest = Math.max(this.#furthest, step.step)
  }

  #settleEager(worker: Presence): void {
    if (worker.standing !== 'running' && worker.standing !== 'halting') this.#settle(worker)
  }

  /** All until now is in the sums. */
  #settle(worker: Presence): void {
    const { standing, aborted, haltedAt, computeSeconds } = worker
    if (standing !== 'running' && standing !== 'halting') return this.#add(worker, standing, this.#untold(worker))
    if (!aborted) return this.#add(worker, 'other', this.#untold(worker))
    // Of a step that is thrown away no more was computed than of one that is not; the rest is waiting for the lost.
    const untold = () => (haltedAt - worker.since) / 1000
    this.#add(worker, 'recomputed', Math.min(untold(), computeSeconds))
    this.#add(worker, 'waiting', untold())
    this.#add(worker, 'reforming', this.#untold(worker))
  }

  #untold({ since }: Presence): number {
    return (this.#now - since) / 1000
  }

  /** No more than there is. */
  #add(worker: Presence, part: GoodputPart, seconds: number): void {
    const left = this.#untold(worker)
    if (!(seconds > 0) || left <= 0) return
    const added = Math.min(seconds, left)
    worker.since = added === left ? this.#now : worker.since + 1000 * added
    this.#seconds[part] += added
  }
}

function arrived(now: number): Presence {
  return {
    since: now,
    standing: 'starting',
    trained: false,
    generation: 0,
    haltedAt: 0,
    aborted: false,
    startSeen: false,
    lastCommit: null,
    computeSeconds: 0,
    carriedSeconds: 0,
  }
}

function rounded(seconds: GoodputSeconds): Record<GoodputPart, number> {
  const round = (part: GoodputPart) => Math.round(1000 * seconds[part]) / 1000
  return {
    useful: round('useful'),
    recomputed: round('recomputed'),
    waiting: round('waiting'),
    reforming: round('reforming'),
    paused: round('paused'),
    starting: round('starting'),
    other: round('other'),
  }
}
