import { lowerQuantile } from '../../shared/core/lower-quantile.ts'
import type { Straggler } from './stragglers.ts'

/** Less is the noise of threads that wake up late. */
const noiseSeconds = 0.02
/** Of what a step's computation usually takes: less slows nobody down by much. */
const partOfStep = 0.5
/** Over, where it is less than this part of what names it. */
const overPart = 0.5
/** Reports of a rank before it is believed. */
const minimumReports = 5
/** Of a report in the smoothed time; one comes every 50 ms, or every step. */
const weight = 0.1

export interface LateRank {
  readonly workerId: string
  /** Of a step: from where the reporting rank began a collective until the last word of this one was there. */
  readonly seconds: number
}

/**
 * Names a worker whose link is slow: all others wait longer for it than for each other, and not because it computes for longer.
 * Needs three ranks, and an algorithm in which each hears several others; a ring has one neighbour to listen to. Pure.
 */
export class SlowLinks {
  /** By reporting worker, then by the worker that was waited for: seconds beyond those for the one that came first. */
  readonly #waits = new Map<string, { reports: number; readonly seconds: Map<string, number> }>()
  readonly #slow = new Set<string>()

  formed(group: readonly string[]): void {
    this.#waits.clear()
    for (const workerId of this.#slow) if (!group.includes(workerId)) this.#slow.delete(workerId)
  }

  has(workerId: string): boolean {
    return this.#slow.has(workerId)
  }

  get workerIds(): string[] {
    return [...this.#slow]
  }

  /** What changes with this report; null: nothing. `computeSeconds`: of each worker, where it is known. */
  report(
    reporter: string,
    late: readonly LateRank[],
    computeSeconds: (workerId: string) => number | null,
  ): Straggler | null {
    if (late.length < 2) return null
    const wait = this.#waits.get(reporter) ?? { reports: 0, seconds: new Map<string, number>() }
    this.#waits.set(reporter, wait)
    wait.reports++
    const first = Math.min(...late.map(({ seconds }) => seconds))
    for (const { workerId, seconds } of late) {
      const before = wait.seconds.get(workerId) ?? seconds - first
      wait.seconds.set(workerId, before + weight * (seconds - first - before))
    }
    const usual = lowerQuantile(
      late.flatMap(({ workerId }) => computeSeconds(workerId) ?? []),
      0.5,
    )
    const limit = Math.max(noiseSeconds, partOfStep * usual)
    for (const { workerId } of late) {
      const extra = this.#waitFor(workerId) - Math.max(0, (computeSeconds(workerId) ?? 0) - usual)
      const was = this.#slow.has(workerId)
      if (was ? extra >= overPart * limit : extra < limit) continue
      if (was) this.#slow.delete(workerId)
      else this.#slow.add(workerId)
      const ratio = (usual + Math.max(0, extra)) / Math.max(usual, noiseSeconds)
      return { workerId, ratio: Math.round(ratio * 10) / 10, cause: 'network', slow: !was }
    }
    return null
  }

  /** What at least half of the others wait for it. */
  #waitFor(workerId: string): number {
    const told = [...this.#waits].filter(
      ([reporter, { reports }]) => reporter !== workerId && reports >= minimumReports,
    )
    const waits = told.map(([, { seconds }]) => seconds.get(workerId) ?? 0)
    return waits.length < 2 ? 0 : lowerQuantile(waits, 0.5)
  }
}
