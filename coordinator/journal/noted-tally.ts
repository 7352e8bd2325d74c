import { messageOf } from '../../shared/core/errors.ts'
import type { Tally } from '../tally.ts'
import { Journal } from './journal.ts'
import type { JournalRecord } from './journal-record.ts'

/**
 * A tally that a coordinator after this one can take over: what changes it goes to the journal too. Where that cannot be
 * written the run goes on, workers keep what is not noted, and a snapshot follows once there is room.
 */
export class NotedTally {
  /** Steps whose commit is on the disk. */
  step: number
  readonly #tally: Tally
  readonly #journal: Journal
  /** Told of what is wrong with the journal; null: nothing any more. */
  readonly #trouble: (reason: string | null) => void
  #broken = false

  constructor(tally: Tally, folder: string, storedStep: number, trouble: (reason: string | null) => void) {
    this.#tally = tally
    this.#trouble = trouble
    this.#journal = new Journal(folder, tally.snapshot(storedStep, tally.elapsed.wallSeconds))
    this.step = tally.ledger.steps
  }

  /** True where the record says something new. */
  note(record: JournalRecord): boolean {
    if (!this.#tally.apply(record)) return false
    this.#try(() => {
      if (!this.#broken) this.#journal.append(record)
    })
    return true
  }

  /** Somebody has asked for a pause. */
  get held(): boolean {
    return this.#tally.held
  }

  /** On the disk before it is answered: a coordinator that comes after this one keeps to it. */
  hold(held: boolean, storedStep: number): void {
    if (held === this.#tally.held) return
    this.note({ kind: 'held', held })
    this.sync(storedStep)
  }

  /** What was noted is on the disk when this returns; `step` says how far. */
  sync(storedStep: number): void {
    if (this.#journal.full || this.#broken) this.compact(storedStep, this.#tally.elapsed.wallSeconds)
    this.#try(() => {
      if (this.#broken) return
      this.#journal.sync()
      this.step = this.#tally.ledger.steps
    })
  }

  compact(storedStep: number, wallSeconds: number): void {
    this.#try(() => {
      this.#journal.compact(this.#tally.snapshot(storedStep, wallSeconds))
      this.#broken = false
      this.#trouble(null)
    })
  }

  release(): void {
    this.#journal.close()
  }

  remove(): void {
    this.#journal.remove()
  }

  #try(write: () => void): void {
    try {
      write()
    } catch (error) {
      this.#broken = true
      this.#trouble(`the journal cannot be written: ${messageOf(error)}; make room`)
    }
  }
}
