import type { RunObserver } from '../coordinator/summary.ts'
import { scalarKind } from '../shared/core/scalar-kind.ts'
import type { Schedule } from '../shared/core/schedule.ts'
import type { CommittedStep } from '../shared/protocol/control.ts'

/** Where progress lines go: a terminal is overwritten, a file gets whole lines. */
export interface ProgressOutput {
  readonly isTTY?: boolean
  write(text: string): unknown
}

const barWidth = 20
const redrawMs = 100

/** A Keras-style line per epoch: bar, time, images/s, mean losses, workers, ETA. */
export class Progress implements RunObserver {
  readonly #output: ProgressOutput
  readonly #schedule: Schedule
  readonly #now: () => number
  #worldSize = 0
  #epoch = -1
  #epochSteps = 0
  #epochSeconds = 0
  #epochImages = 0
  #sums = new Map<string, { sum: number; count: number }>()
  #secondsPerStep = 0
  #drawn = 0
  #open = false
  /** What went wrong first; the rest may follow from it. */
  firstFailure: { readonly workerId: string; readonly reason: string } | null = null
  readonly checkpoint: (step: number) => void

  /** `stored` is told of every checkpoint. */
  constructor(
    output: ProgressOutput,
    schedule: Schedule,
    now: () => number,
    stored: (step: number) => void = () => {},
  ) {
    this.checkpoint = stored
    this.#output = output
    this.#schedule = schedule
    this.#now = now
  }

  group(generation: number, worldSize: number, step: number): void {
    this.#worldSize = worldSize
    this.#line(`generation ${generation}: ${worldSize} worker${worldSize === 1 ? '' : 's'}, from step ${step}`)
  }

  committed(step: CommittedStep): void {
    if (step.epoch !== this.#epoch) this.#startEpoch(step.epoch)
    this.#epochSteps++
    this.#epochSeconds += step.seconds
    this.#epochImages += step.images
    this.#secondsPerStep = this.#secondsPerStep === 0 ? step.seconds : 0.98 * this.#secondsPerStep + 0.02 * step.seconds
    for (const [name, value] of Object.entries(step.scalars)) {
      if (scalarKind(name) !== 'loss') continue
      const { sum, count } = this.#sums.get(name) ?? { sum: 0, count: 0 }
      this.#sums.set(name, { sum: sum + value, count: count + 1 })
    }
    const endOfEpoch = this.#schedule.plan(step.step - 1).lastOfEpoch || step.step === this.#schedule.totalSteps
    if (endOfEpoch) this.#line(this.#text(step))
    else if (this.#output.isTTY && this.#now() - this.#drawn >= redrawMs) this.#redraw(this.#text(step))
  }

  incident(reason: string, lost?: string): void {
    if (lost !== undefined) this.firstFailure ??= { workerId: lost, reason }
    this.#line(reason)
  }

  /** Ends an unfinished line. */
  end(): void {
    if (this.#open) this.#output.write('\n')
    this.#open = false
  }

  #startEpoch(epoch: number): void {
    this.#epoch = epoch
    this.#epochSteps = 0
    this.#epochSeconds = 0
    this.#epochImages = 0
    this.#sums = new Map()
  }

  #text(step: CommittedStep): string {
    const { stepsPerEpoch, totalSteps } = this.#schedule
    const inEpoch = ((step.step - 1) % stepsPerEpoch) + 1
    const filled = Math.floor((inEpoch / stepsPerEpoch) * barWidth)
    const losses = [...this.#sums].map(([name, { sum, count }]) => `${name} ${(sum / count).toPrecision(4)}`)
    const left = (totalSteps - step.step) * this.#secondsPerStep
    return [
      `epoch ${step.epoch + 1}/${Math.ceil(totalSteps / stepsPerEpoch)}`,
      `${inEpoch}/${stepsPerEpoch} [${'='.repeat(filled)}${'.'.repeat(barWidth - filled)}]`,
      `${duration(this.#epochSeconds)}`,
      `${Math.round((1000 * this.#epochSeconds) / this.#epochSteps)} ms/step`,
      `${Math.round(this.#epochImages / this.#epochSeconds)} images/s`,
      ...losses,
      `${this.#worldSize} worker${this.#worldSize === 1 ? '' : 's'}`,
      `ETA ${duration(left)}`,
    ].join('  ')
  }

  #redraw(text: string): void {
    this.#drawn = this.#now()
    this.#open = true
    this.#output.write(`\r\x1b[2K${text}`)
  }

  #line(text: string): void {
    this.#output.write(this.#output.isTTY ? `\r\x1b[2K${text}\n` : `${text}\n`)
    this.#open = false
  }
}

export function duration(seconds: number): string {
  const whole = Math.round(seconds)
  const minutes = Math.floor(whole / 60) % 60
  const rest = String(whole % 60).padStart(2, '0')
  return whole >= 3600
    ? `${Math.floor(whole / 3600)}:${String(minutes).padStart(2, '0')}:${rest}`
    : `${minutes}:${rest}`
}
