import type { Clock } from '../shared/core/clock.ts'
import { limits } from '../shared/core/limits.ts'
import type { FromThread, ThreadData } from './thread-messages.ts'

/** Of a worker's start: whom it belongs to, and its patience. */
export type WatchedCoordinator = Pick<
  ThreadData,
  'coordinator' | 'workerId' | 'connectTimeoutMs' | 'reconnectTimeoutMs'
>

/** Pulses come every second. */
const silenceMs = 3000

/** Watches over the coordinator: there yet, there still, back again, away for too long. */
export class CoordinatorWatch {
  readonly #data: WatchedCoordinator
  readonly #clock: Clock
  readonly #post: (message: FromThread) => void
  readonly #reconnected: () => void
  readonly #warn: (line: string) => void
  readonly stop: () => void
  readonly #started: number
  #everHeard = false
  #lastHeard: number
  #broken = false
  #silent = false
  #there = true
  #mayStep = true
  #full = false
  #warned = 0
  #stoodStill = false
  /** Since something was heard. Nobody listened meanwhile, and the coordinator may have been stopped too (Ctrl-Z, a paused container). */
  #stoodStillMs = 0
  #lastLook: number

  constructor(
    data: WatchedCoordinator,
    clock: Clock,
    to: { post(message: FromThread): void; reconnected(): void; warn(line: string): void },
  ) {
    this.#data = data
    this.#clock = clock
    this.#post = to.post
    this.#reconnected = to.reconnected
    this.#warn = to.warn
    this.#started = clock.now()
    this.#lastHeard = this.#started
    this.#lastLook = this.#started
    this.stop = clock.every(250, () => this.#look())
  }

  connection(connected: boolean): void {
    const again = connected && this.#broken
    this.#broken = !connected
    if (again) this.#reconnected()
    if (!connected && this.#everHeard) this.#tell(false)
  }

  heard(): void {
    this.#lastHeard = this.#clock.now()
    this.#stoodStillMs = 0
    this.#everHeard = true
    if (this.#silent) this.#reconnected() // the line held, but something may have been lost on it
    this.#silent = false
    this.#tell(true)
    this.#allow()
  }

  /** No connection: what is sent now would reach the next coordinator before it knows who we are. */
  get broken(): boolean {
    return this.#broken
  }

  /** Number of commits that the coordinator has not noted. */
  unnoted(count: number): void {
    this.#full = count >= limits.maxUnnotedSteps
    this.#allow()
  }

  #tell(there: boolean): void {
    if (there !== this.#there) this.#post({ kind: 'connection', connected: there })
    this.#there = there
  }

  #allow(): void {
    const allowed = !this.#full && this.#clock.now() - this.#lastHeard < limits.orphanMs
    if (allowed === this.#mayStep) return
    this.#mayStep = allowed
    this.#post({ kind: 'mayStep', allowed })
  }

  /** Why nothing was heard: this process stood still, or the line did. */
  get absence(): 'stalled' | 'cut-off' {
    return this.#stoodStill ? 'stalled' : 'cut-off'
  }

  #look(): void {
    const now = this.#clock.now()
    const sinceLook = now - this.#lastLook
    if (sinceLook > 1000) {
      this.#stoodStill = true
      this.#stoodStillMs += sinceLook
    } else if (now - this.#lastHeard > silenceMs) this.#stoodStill = false
    this.#lastLook = now
    const { coordinator, connectTimeoutMs, reconnectTimeoutMs } = this.#data
    const silent = now - this.#lastHeard
    const waited = silent - this.#stoodStillMs
    const timeout = this.#everHeard ? reconnectTimeoutMs : connectTimeoutMs
    if (waited > timeout) {
      const reason = this.#everHeard
        ? `the coordinator at ${coordinator} is silent for ${Math.round(waited / 1000)} s`
        : `no coordinator answered at ${coordinator} within ${Math.round(timeout / 1000)} s; check --coordinator tcp://HOST:PORT`
      this.#post({ kind: 'lost', reason })
      this.stop()
      return
    }
    if (!this.#everHeard) {
      if (waited <= 2000 * 2 ** this.#warned) return
      this.#warned++
      return this.#warn(`no coordinator at ${coordinator} yet, trying on`)
    }
    if (silent > silenceMs && !this.#silent) {
      this.#silent = true
      this.#tell(false)
    }
    this.#allow()
  }
}
