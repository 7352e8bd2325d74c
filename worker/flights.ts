/** How long anything has been on its way: what travels at the same time counts once. */
export class Flights {
  #open = 0
  #since = 0
  #milliseconds = 0

  /** From `now` on, by a clock in milliseconds, something more is. */
  begin(now: number): void {
    if (this.#open++ === 0) this.#since = now
  }

  end(now: number): void {
    if (--this.#open === 0) this.#milliseconds += now - this.#since
  }

  /** Seconds since the last call, of what has come to its end. */
  take(): number {
    const seconds = this.#milliseconds / 1000
    this.#milliseconds = 0
    return seconds
  }
}
