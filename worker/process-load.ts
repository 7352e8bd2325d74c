import { readFileSync } from 'node:fs'
import type { Clock } from '../shared/core/clock.ts'
import type { Load } from '../shared/protocol/control.ts'
import { counter } from './thread-messages.ts'

const tickMs = 50
/** Nothing of this thread takes so long. */
const gapMs = 150
/** Of a gap in which this thread ran, or could have run, less than this part, its process was stopped. */
const awake = 0.5

/** What kept this process from computing, since it was last asked; of the thread that calls this, and of the main thread. */
export class ProcessLoad {
  readonly #clock: Clock
  readonly #counters: Int32Array
  readonly #stop: () => void
  #tickAt: number
  #own = scheduled('thread-self')
  #main = scheduled('self')
  #collected: number
  #stoppedMs = 0

  constructor(clock: Clock, counters: Int32Array) {
    this.#clock = clock
    this.#counters = counters
    this.#tickAt = clock.now()
    this.#collected = Atomics.load(counters, counter.collectingMicros)
    this.#stop = clock.every(tickMs, () => this.#tick())
  }

  since(): Load {
    this.#tick()
    const main = scheduled('self')
    const collected = Atomics.load(this.#counters, counter.collectingMicros)
    const load = {
      stoppedSeconds: this.#stoppedMs / 1000,
      delayedSeconds: Math.max(0, main.delayedMs - this.#main.delayedMs) / 1000,
      gcSeconds: ((collected - this.#collected) | 0) / 1e6, // the counter wraps around
    }
    this.#main = main
    this.#collected = collected
    this.#stoppedMs = 0
    return load
  }

  close(): void {
    this.#stop()
  }

  #tick(): void {
    const now = this.#clock.now()
    const own = scheduled('thread-self')
    const gap = now - this.#tickAt
    const awakeMs = own.ranMs - this.#own.ranMs + own.delayedMs - this.#own.delayedMs
    if (own.known && gap > gapMs && awakeMs < awake * gap) this.#stoppedMs += gap
    this.#tickAt = now
    this.#own = own
  }
}

/** Of a thread, by the Linux kernel (sched-stats.rst): time on a core, and time in which it waited for one. */
function scheduled(thread: 'self' | 'thread-self'): { known: boolean; ranMs: number; delayedMs: number } {
  try {
    const [ran = 0, delayed = 0] = readFileSync(`/proc/${thread}/schedstat`, 'utf8').split(' ').map(Number)
    return { known: true, ranMs: ran / 1e6, delayedMs: delayed / 1e6 }
  } catch {
    return { known: false, ranMs: 0, delayedMs: 0 } // no Linux, or a kernel without it
  }
}
