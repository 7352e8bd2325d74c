const healthyMs = 10_000
const maximumQuick = 5

/** When to start a process again: at once at first, later and later while it ends soon after, then no more. */
export class Restarts {
  #quick = 0
  #startedAt = 0

  started(now: number): void {
    this.#startedAt = now
  }

  /** Milliseconds to wait after an end; null: give it up. */
  delayMs(now: number): number | null {
    this.#quick = now - this.#startedAt < healthyMs ? this.#quick + 1 : 0
    if (this.#quick > maximumQuick) return null
    return this.#quick <= 1 ? 0 : 250 * 2 ** (this.#quick - 2)
  }
}
