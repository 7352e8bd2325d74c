const healthyMs = 10_000
/** Long enough to have come in, for one that was killed. */
const cameInMs = 2000
const maximumQuick = 5
const longestMs = 5000

/**
 * When to start a process again: at once at first, later and later while it ends soon after. One that ends by itself again
 * and again is given up; one that is killed from outside never is.
 */
export class Restarts {
  #quick = 0
  #startedAt = 0

  started(now: number): void {
    this.#startedAt = now
  }

  /** Milliseconds to wait after an end; null: give it up. */
  delayMs(now: number, killed: boolean): number | null {
    this.#quick = now - this.#startedAt < (killed ? cameInMs : healthyMs) ? this.#quick + 1 : 0
    if (!killed && this.#quick > maximumQuick) return null
    return this.#quick <= (killed ? maximumQuick : 1) ? 0 : Math.min(longestMs, 250 * 2 ** (this.#quick - 2))
  }
}
