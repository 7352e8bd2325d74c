import type { Clock } from '../../shared/core/clock.ts'
import type { VirtualTime } from './virtual-time.ts'

/**
 * A process that can be killed, stopped and continued. Whatever reaches it comes through `enter`: at once, when it goes on
 * again, or never. Its main thread may be computing meanwhile; then what is for the main thread waits.
 */
export class SimulatedProcess {
  readonly name: string
  readonly clock: Clock
  alive = true
  /** Since when it is stopped; null: it runs. */
  stoppedSince: number | null = null
  readonly #time: VirtualTime
  readonly #backlog: (() => void)[] = []
  readonly #onEnd: (() => void)[] = []
  #computing = 0
  readonly #mainBacklog: (() => void)[] = []
  /** Factor on the time that computing takes. */
  slowness = 1

  constructor(name: string, time: VirtualTime) {
    this.name = name
    this.#time = time
    this.clock = {
      now: () => time.now,
      wallTime: () => time.now,
      every: (intervalMs, run) => this.#every(intervalMs, run),
      sleep: (ms) => new Promise((resolve) => time.after(ms, () => this.enter(resolve))),
    }
  }

  enter(work: () => void): void {
    if (!this.alive) return
    if (this.stoppedSince === null) work()
    else this.#backlog.push(work)
  }

  /** For the main thread, which reads its messages only between its computations. */
  enterMain(work: () => void): void {
    this.enter(() => {
      if (this.#computing > 0) this.#mainBacklog.push(work)
      else work()
    })
  }

  /** The main thread is busy for so long. */
  async compute(ms: number): Promise<void> {
    this.#computing++
    await this.clock.sleep(ms * this.slowness)
    this.#computing--
    if (this.#computing > 0) return
    for (const work of this.#mainBacklog.splice(0)) this.#time.after(0, () => this.enterMain(work))
  }

  kill(): void {
    if (!this.alive) return
    this.alive = false
    this.stoppedSince = null
    for (const tell of this.#onEnd) tell()
  }

  stop(): void {
    this.stoppedSince ??= this.#time.now
  }

  continue(): void {
    if (this.stoppedSince === null) return
    this.stoppedSince = null
    for (const work of this.#backlog.splice(0)) this.#time.after(0, () => this.enter(work))
  }

  onEnd(tell: () => void): void {
    this.#onEnd.push(tell)
  }

  /** As `setInterval`: a process that was stopped finds one round due, not all that it missed. */
  #every(intervalMs: number, run: () => void): () => void {
    let going = true
    const round = () => {
      if (!going) return
      run()
      this.#time.after(intervalMs, () => this.enter(round))
    }
    this.#time.after(intervalMs, () => this.enter(round))
    return () => {
      going = false
    }
  }
}
