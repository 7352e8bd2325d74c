import type { Clock } from '../../shared/core/clock.ts'

/** Where a step's time goes; everything between two laps counts as the later one's. `pipelineWait`: for a stage beside this one. */
export type StepPhase = 'prepare' | 'input' | 'forward' | 'backward' | 'allReduce' | 'optimizer' | 'pipelineWait'

export class Stopwatch {
  readonly #clock: Clock
  readonly #onLap: (phase: StepPhase, start: number, end: number) => void
  readonly #milliseconds = new Map<StepPhase, number>()
  readonly #started: number
  #last: number

  /** `onLap`: told of each lap, by the clock. */
  constructor(clock: Clock, onLap: (phase: StepPhase, start: number, end: number) => void) {
    this.#clock = clock
    this.#onLap = onLap
    this.#started = clock.now()
    this.#last = this.#started
  }

  lap(phase: StepPhase): void {
    const now = this.#clock.now()
    this.#milliseconds.set(phase, (this.#milliseconds.get(phase) ?? 0) + now - this.#last)
    this.#onLap(phase, this.#last, now)
    this.#last = now
  }

  /** Since the start. */
  get seconds(): number {
    return (this.#clock.now() - this.#started) / 1000
  }

  /** That of a pipeline is there where it has been waited for. */
  phaseSeconds(): Record<Exclude<StepPhase, 'pipelineWait'>, number> & { pipelineWait?: number } {
    const seconds = (phase: StepPhase) => (this.#milliseconds.get(phase) ?? 0) / 1000
    return {
      prepare: seconds('prepare'),
      input: seconds('input'),
      forward: seconds('forward'),
      backward: seconds('backward'),
      allReduce: seconds('allReduce'),
      optimizer: seconds('optimizer'),
      ...(this.#milliseconds.has('pipelineWait') ? { pipelineWait: seconds('pipelineWait') } : {}),
    }
  }
}
