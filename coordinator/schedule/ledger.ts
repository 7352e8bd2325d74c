import { permutation } from '../../shared/core/random.ts'
import { sampleChecksum } from '../../shared/core/sample-checksum.ts'
import type { Schedule } from '../../shared/core/schedule.ts'
import type { CommittedStep } from '../../shared/protocol/control.ts'

export interface EpochCoverage {
  readonly epoch: number
  readonly distinct: number
  readonly duplicates: number
  readonly missing: number
}

/**
 * Counts every sample's use from what was committed: each committed step carries, for every batch, the checksum of the
 * sample numbers that the ranks really fed, added up by the all-reduce. A batch whose checksum is not that of its
 * planned samples is not counted, and shows as missing.
 */
export class Ledger {
  readonly #schedule: Schedule
  readonly #sampleCount: number
  readonly #seed: number
  #epoch = 0
  #uses: Uint8Array
  #order: Uint32Array
  #finished: EpochCoverage[] = []
  #steps = 0
  mismatches = 0

  constructor(schedule: Schedule, sampleCount: number, seed: number) {
    this.#schedule = schedule
    this.#sampleCount = sampleCount
    this.#seed = seed
    this.#uses = new Uint8Array(sampleCount)
    this.#order = permutation(seed, 0, sampleCount)
  }

  /** Committed steps so far. */
  get steps(): number {
    return this.#steps
  }

  /** Takes up after a checkpoint: all batches before it count as used, as its manifest says. */
  resume(step: number, finished: readonly EpochCoverage[]): void {
    this.#steps = step
    this.#finished = [...finished]
    const plan = this.#schedule.plan(step)
    this.#open(plan.epoch)
    const used = plan.batches[0]?.start ?? 0
    for (let position = 0; position < used; position++) this.#use(position)
  }

  /** False where the step is known already (another rank told it). */
  commit(committed: CommittedStep): boolean {
    if (committed.step !== this.#steps + 1) return false
    const plan = this.#schedule.plan(committed.step - 1)
    if (plan.epoch !== this.#epoch) this.#open(plan.epoch)
    for (const [index, range] of plan.batches.entries()) {
      const expected = sampleChecksum(this.#order.subarray(range.start, range.end))
      const found = committed.batches[index] ?? [0, 0, 0, 0, 0]
      if (expected.some((value, position) => value !== found[position])) {
        this.mismatches++
        continue
      }
      for (let position = range.start; position < range.end; position++) this.#use(position)
    }
    this.#steps = committed.step
    if (plan.lastOfEpoch) this.#finished.push(this.#coverage())
    return true
  }

  /** Coverage of each epoch; the last one may be under way. */
  coverage(): EpochCoverage[] {
    const open = this.#finished.some((epoch) => epoch.epoch === this.#epoch) ? [] : [this.#coverage()]
    return [...this.#finished, ...(this.#uses.some((uses) => uses > 0) ? open : [])]
  }

  finishedEpochs(): readonly EpochCoverage[] {
    return this.#finished
  }

  #open(epoch: number): void {
    this.#epoch = epoch
    this.#uses = new Uint8Array(this.#sampleCount)
    this.#order = permutation(this.#seed, epoch, this.#sampleCount)
  }

  #use(position: number): void {
    const id = this.#order[position] ?? 0
    this.#uses[id] = Math.min(255, (this.#uses[id] ?? 0) + 1)
  }

  #coverage(): EpochCoverage {
    let distinct = 0
    let duplicates = 0
    for (const uses of this.#uses) {
      if (uses > 0) distinct++
      if (uses > 1) duplicates += uses - 1
    }
    return { epoch: this.#epoch, distinct, duplicates, missing: this.#sampleCount - distinct }
  }
}
