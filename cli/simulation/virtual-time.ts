interface Due {
  readonly at: number
  /** Order of two that are due at the same time. */
  readonly sequence: number
  readonly run: () => void
}

/** Time that passes only when something is due: milliseconds since the simulation began. */
export class VirtualTime {
  now = 0
  #sequence = 0
  /** A binary heap, the next one first. */
  readonly #due: Due[] = []

  after(ms: number, run: () => void): void {
    const due = this.#due
    due.push({ at: this.now + Math.max(0, ms), sequence: this.#sequence++, run })
    for (let child = due.length - 1; child > 0; ) {
      const parent = (child - 1) >> 1
      if (!before(due, child, parent)) break
      swap(due, child, parent)
      child = parent
    }
  }

  /** Runs what is due, one after the other, until `over`, or until `lastMs`; false where the time ran out first. */
  async run(over: () => boolean, lastMs: number): Promise<boolean> {
    while (!over()) {
      const next = this.#next()
      if (!next || next.at > lastMs) return false
      this.now = next.at
      next.run()
      await settled()
    }
    return true
  }

  /** Runs all that is due, and what follows from it, without waiting for promises. */
  drain(): void {
    for (let next = this.#next(); next; next = this.#next()) {
      this.now = next.at
      next.run()
    }
  }

  #next(): Due | undefined {
    const due = this.#due
    const first = due[0]
    const last = due.pop()
    if (!last || due.length === 0) return first
    due[0] = last
    for (let parent = 0; ; ) {
      const left = 2 * parent + 1
      const child = left + 1 < due.length && before(due, left + 1, left) ? left + 1 : left
      if (child >= due.length || !before(due, child, parent)) return first
      swap(due, child, parent)
      parent = child
    }
  }
}

/** Everything that follows from what has just run: all promises, since nothing in a simulation waits for a real timer. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function before(due: readonly Due[], a: number, b: number): boolean {
  const [first, second] = [due[a], due[b]]
  if (!first || !second) return false
  return first.at === second.at ? first.sequence < second.sequence : first.at < second.at
}

function swap(due: Due[], a: number, b: number): void {
  const [first, second] = [due[a], due[b]]
  if (first && second) {
    due[a] = second
    due[b] = first
  }
}
