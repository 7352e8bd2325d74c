import type { Metrics } from './metrics/metrics.ts'
import type { RunFolder } from './run-folder.ts'
import type { RunObserver } from './summary.ts'

/** What somebody should see to; each is told once, until what caused it is over. */
export class Alarms {
  readonly #raised = new Set<string>()
  readonly #folder: RunFolder
  readonly #metrics: Metrics
  readonly #observer: RunObserver

  constructor(folder: RunFolder, metrics: Metrics, observer: RunObserver) {
    this.#folder = folder
    this.#metrics = metrics
    this.#observer = observer
  }

  /** `reason` null: it is over. */
  set(kind: string, reason: string | null): void {
    if (reason === null) {
      if (this.#raised.delete(kind)) this.#metrics.alarm(kind, false)
      return
    }
    if (this.#raised.has(kind)) return
    this.#raised.add(kind)
    this.#metrics.alarm(kind, true)
    this.#observer.incident(`alarm: ${reason}`)
    this.#folder.event('alarm', { alarm: kind, reason })
  }
}
