import { limits } from '../../shared/core/limits.ts'

/** One exchange, in milliseconds: sent and come back by our clock, received and answered by the other. */
export interface ClockSample {
  readonly sent: number
  readonly received: number
  readonly answered: number
  readonly back: number
}

/**
 * How far another host's clock is ahead of ours. Mills 1991, eq. 3: with θ = ((received − sent) + (answered − back)) / 2 and
 * δ = (back − sent) − (answered − received) the offset lies within θ ± δ / 2. Of the last samples that of least δ counts, as
 * in NTP's clock filter. An offset that is within its bounds is kept, so that times do not jump: 0 at first, which it is between
 * processes of one host.
 */
export class ClockOffset {
  ms = 0
  /** It is wrong by so much at most; infinite before the first sample. */
  errorMs = Number.POSITIVE_INFINITY
  readonly #last: { offset: number; delay: number }[] = []

  add({ sent, received, answered, back }: ClockSample): void {
    const delay = Math.max(0, back - sent - (answered - received))
    this.#last.push({ offset: (received - sent + answered - back) / 2, delay })
    if (this.#last.length > limits.clockSamples) this.#last.shift()
    const best = this.#last.reduce((least, sample) => (sample.delay < least.delay ? sample : least))
    if (Math.abs(best.offset - this.ms) > best.delay / 2) this.ms = best.offset
    this.errorMs = best.delay / 2 + Math.abs(best.offset - this.ms)
  }
}
