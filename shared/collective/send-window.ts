/**
 * Bytes on the way whose answer has not come: what does not fit waits for its turn. Whoever takes answers all in the order in
 * which all ranks ask, so nobody waits for what another one has not been let send.
 */
export class SendWindow {
  readonly #bytes: number
  readonly #waiting: { bytes: number; send: () => void }[] = []
  #onTheWay = 0

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  /** Sends now, or once there is room; what is larger than the window goes alone. */
  send(bytes: number, send: () => void): void {
    this.#waiting.push({ bytes, send })
    this.#drain()
  }

  answered(bytes: number): void {
    this.#onTheWay -= bytes
    this.#drain()
  }

  #drain(): void {
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (this.#onTheWay > 0 && this.#onTheWay + next.bytes > this.#bytes) return
      this.#waiting.shift()
      this.#onTheWay += next.bytes
      next.send()
    }
  }
}
