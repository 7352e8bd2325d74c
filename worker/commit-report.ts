import type { Clock } from '../shared/core/clock.ts'
import type { CommittedStep } from '../shared/protocol/control.ts'
import type { Link } from './link.ts'

/** Fast steps are told of together: a message for each would cost the coordinator more than all else. */
const tellEveryMs = 50
/** So many ranks are enough to tell soon; of more, each tells as much more rarely, so that all of them tell no more often. */
const promptRanks = 4
const tellSlowlyMs = 5000

/** What a rank of a group has committed, to the coordinator. */
export class CommitReport {
  readonly #link: Link
  readonly #clock: Clock
  readonly #generation: number
  /** The first word of a commit counts, and ranks that have not told yet still do when the others are lost. */
  readonly #everyMs: number
  /** Committed, and not told yet. */
  #untold: CommittedStep[] = []
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(link: Link, clock: Clock, group: { generation: number; rank: number; peers: readonly unknown[] }) {
    const { generation, rank, peers } = group
    this.#link = link
    this.#clock = clock
    this.#generation = generation
    this.#everyMs =
      rank < promptRanks ? tellEveryMs : Math.min(tellSlowlyMs, (tellEveryMs * peers.length) / promptRanks)
  }

  /** `now`: it is told at once, with those before it. */
  add(step: CommittedStep, now: boolean): void {
    this.#untold.push(step)
    if (now || this.#clock.now() - this.#toldAt >= this.#everyMs) this.tell()
  }

  tell(): void {
    const steps = this.#untold
    if (steps.length === 0) return
    this.#untold = []
    this.#toldAt = this.#clock.now()
    this.#link.send({ kind: 'committed', generation: this.#generation, steps })
  }
}
