import { lowerQuantile } from '../../shared/core/lower-quantile.ts'
import { noLoad, type SlowCause, type StepLoad, slowCause, smoothedLoad } from './slow-cause.ts'

/** Of a step in the smoothed time: about the last second counts, but at least five steps and at most two hundred. */
const mostWeight = 0.2
const leastWeight = 0.005
/** The first steps in a group compile kernels and fetch data. */
const firstSteps = 5
const minimumSteps = 15
/** Slow from twice the time of the others on, until one and a half times it; less than this is noise. */
const slowRatio = 2
const overRatio = 1.5
const noiseSeconds = 0.005
/** Steps in a row before it is named: what kept it from computing is told a little later than how long it took. */
const confirmingSteps = 5

export interface Straggler {
  readonly workerId: string
  /** Its time to compute a step, in parts of what the others take. */
  readonly ratio: number
  /** Why it was slow, where that is over. */
  readonly cause: SlowCause
  /** False: it is as fast as the others again. */
  readonly slow: boolean
}

/** How fast a worker is, for whoever looks. */
export interface Pace {
  /** Of a step, outside of collectives, smoothed; null: not known yet. */
  readonly computeSeconds: number | null
  /** Why it is slow; null: it is not. */
  readonly slow: SlowCause | null
}

/**
 * Names workers that compute for much longer than the others do. Only the time outside of collectives tells: within them
 * all wait for the slowest. Pure.
 */
export class Stragglers {
  readonly #times = new Map<string, { steps: number; seconds: number; evenSeconds: number }>()
  readonly #slow = new Map<string, SlowCause>()
  readonly #loads = new Map<string, StepLoad>()
  /** Steps in a row that were slow, of those that are not named. */
  readonly #suspected = new Map<string, number>()
  /** Reports since the time that the others usually take was worked out, and that time. */
  #age = 0
  #usual: number | null = null

  /** A group of other workers, with other shares of the batch. */
  formed(group: readonly string[]): void {
    this.#times.clear()
    this.#loads.clear()
    this.#suspected.clear()
    this.#usual = null
    for (const workerId of this.#slow.keys()) if (!group.includes(workerId)) this.#slow.delete(workerId)
  }

  pace(workerId: string): Pace {
    return {
      computeSeconds: this.#times.get(workerId)?.seconds ?? null,
      slow: this.#slow.get(workerId) ?? null,
    }
  }

  /** Why each of those is slow that are. */
  get causes(): SlowCause[] {
    return [...this.#slow.values()]
  }

  /** What kept a worker from computing, in each of its next `count` steps. */
  load(workerId: string, load: StepLoad, count: number): void {
    const weight = weightOf(this.#times.get(workerId)?.seconds ?? 0)
    this.#loads.set(workerId, smoothedLoad(this.#loads.get(workerId), load, weight, count))
  }

  /**
   * What changes with a worker's next step; null: nothing. `evenSeconds`: what it would take if all had as many lanes, which is what is
   * compared: one that has few lanes because it is slow is slow still.
   */
  report(workerId: string, seconds: number, evenSeconds = seconds): Straggler | null {
    const before = this.#times.get(workerId)
    const weight = weightOf(before?.seconds ?? 0)
    const warm = before && before.steps >= firstSteps
    const smooth = (last: number, next: number) => (warm ? last + weight * (next - last) : next)
    const smoothed = smooth(before?.evenSeconds ?? 0, evenSeconds)
    this.#times.set(workerId, {
      steps: (before?.steps ?? 0) + 1,
      ...{ seconds: smooth(before?.seconds ?? 0, seconds), evenSeconds: smoothed },
    })
    if ((before?.steps ?? 0) < minimumSteps) return null
    const usual = this.#usualOfOthers(workerId)
    if (usual === null) return null
    const ratio = smoothed / Math.max(usual, noiseSeconds)
    const was = this.#slow.get(workerId)
    const suspected = !was && ratio >= slowRatio ? (this.#suspected.get(workerId) ?? 0) + 1 : 0
    this.#suspected.set(workerId, suspected)
    if (was ? ratio >= overRatio : suspected < confirmingSteps) return null
    const cause = was ?? this.#cause(workerId, smoothed - usual)
    if (was) this.#slow.delete(workerId)
    else this.#slow.set(workerId, cause)
    return { workerId, ratio: Math.round(ratio * 10) / 10, cause, slow: !was }
  }

  #cause(workerId: string, extraSeconds: number): SlowCause {
    const others = [...this.#loads].filter(([id]) => id !== workerId).map(([, load]) => load)
    const usual = (figure: keyof StepLoad) =>
      lowerQuantile(
        others.map((load) => load[figure]),
        0.5,
      )
    return slowCause(
      this.#loads.get(workerId) ?? noLoad,
      {
        stoppedSeconds: usual('stoppedSeconds'),
        delayedSeconds: usual('delayedSeconds'),
        gcSeconds: usual('gcSeconds'),
        inputSeconds: usual('inputSeconds'),
      },
      extraSeconds,
    )
  }

  /** Median. In a large group one worker hardly moves it, so a sixteenth of the group may report before it is taken anew. */
  #usualOfOthers(workerId: string): number | null {
    if (this.#usual !== null && ++this.#age < this.#times.size / 16) return this.#usual
    const others = [...this.#times].filter(([id, { steps }]) => id !== workerId && steps >= minimumSteps)
    this.#usual =
      others.length === 0
        ? null
        : lowerQuantile(
            others.map(([, time]) => time.evenSeconds),
            0.5,
          )
    this.#age = 0
    return this.#usual
  }
}

const weightOf = (seconds: number): number => Math.min(mostWeight, Math.max(leastWeight, seconds))
