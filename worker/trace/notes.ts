import type { Clock } from '../../shared/core/clock.ts'
import { type TraceName, traceKind } from '../../shared/protocol/trace-record.ts'
import type { Group, HostGroup } from '../step/group.ts'
import { SegmentNotes } from './segment-notes.ts'
import { noTrace, type Trace } from './trace.ts'

/** What a record says besides its name and times. */
export interface About {
  readonly step?: number
  readonly bucket?: number
  /** Floats. */
  readonly count?: number
}

/** In place of a rank: none. */
const nobody = -1

/** Notes stretches of a thread's work. */
export class Notes {
  readonly trace: Trace
  readonly segments: SegmentNotes
  readonly #clock: Clock

  constructor(clock: Clock, trace: Trace | null) {
    this.trace = trace ?? noTrace
    this.#clock = clock
    this.segments = new SegmentNotes(clock, this.trace)
  }

  /** Does `work` and notes when it began and when it was done. */
  async around<Result>(name: TraceName, about: About, work: () => Promise<Result>): Promise<Result> {
    if (!this.trace.on) return work()
    const start = this.#clock.now()
    const result = await work()
    this.#add(name, start, about)
    return result
  }

  /** Something happens now. */
  moment(name: TraceName, about: About): void {
    if (this.trace.on) this.#add(name, this.#clock.now(), about)
  }

  /** The same reductions, each noted from its beginning to its end. */
  reducing(reduce: HostGroup['allReduce']): HostGroup['allReduce'] {
    return (...bucket) => {
      const [step, number, , count] = bucket
      return this.around('bucket', { step, bucket: number, count }, () => reduce(...bucket))
    }
  }

  /** The same reductions, which another thread does and notes; here, when each of them goes there. */
  leaving(reduce: Group['allReduce']): Group['allReduce'] {
    return (...bucket) => {
      const [step, number, , count] = bucket
      this.moment('bucket leaves', { step, bucket: number, count })
      return reduce(...bucket)
    }
  }

  #add(name: TraceName, start: number, { step, bucket, count }: About): void {
    const bytes = count === undefined ? undefined : count * 4
    this.trace.add(traceKind(name), start, this.#clock.now(), step, bucket, nobody, bytes)
  }
}
