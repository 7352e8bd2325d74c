import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { lastLine } from '../../shared/core/json-lines.ts'

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
    const { line, file } = lastLine(this.#path)
    if (file === this.#seen) return this.step
    this.#seen = file // a coordinator that takes over may write it anew
    if (line) this.step = Math.max(this.step, (JSON.parse(line) as { step: number }).step)
    return this.step
  }
}
