import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** More than two lines of metrics. */
const tailBytes = 8192

/** The last committed step of a run that another process writes; 0 before the first. */
export class Steps {
  readonly #path: string
  #seen = ''
  step = 0

  constructor(runDir: string) {
    this.#path = join(runDir, 'metrics.jsonl')
  }

  /** Looks again. */
  look(): number {
    if (!existsSync(this.#path)) return this.step
    const descriptor = openSync(this.#path, 'r')
    try {
      const { size, ino } = fstatSync(descriptor) // a coordinator that takes over writes the file anew
      const seen = `${ino}/${size}`
      if (seen === this.#seen) return this.step
      this.#seen = seen
      const tail = Buffer.alloc(Math.min(size, tailBytes))
      readSync(descriptor, tail, 0, tail.byteLength, size - tail.byteLength)
      const last = tail.toString('utf8').split('\n').at(-2)
      if (last) this.step = Math.max(this.step, (JSON.parse(last) as { step: number }).step)
      return this.step
    } finally {
      closeSync(descriptor)
    }
  }
}
