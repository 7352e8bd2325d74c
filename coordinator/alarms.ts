import type { Metrics } from './metrics/metrics.ts'
import type { RunFolder } from './run-folder.ts'
import type { RunObserver } from './summary.ts'

export interface RaisedAlarm {
  readonly alarm: string
  readonly reason: string
}

/** What somebody should see to; each is told once, until what caused it is over. */
export class Alarms {
  readonly #raised = new Map<string, string>()
  readonly #folder: RunFolder
  readonly #metrics: Metrics
  readonly #observer: RunObserver

  constructor(folder: RunFolder, metrics: Metrics, observer: RunObserver) {
    this.#folder = folder
    this.#metrics = metrics
    this.#observer = observer
  }

  get raised(): RaisedAlarm[] {
    return [...this.#raised].map(([alarm, reason]) => ({ alarm, reason }))
  }

  /** It was told of by the coordinator before this one. */
  inherit(kind: string, reason: string): void {
    this.#raised.set(kind, reason)
    this.#metrics.alarm(kind, true)
  }

  /** `reason` null: it is over. `about`: further fields of the event. */
  set(kind: string, reason: string | null, about: object = {}): void {
    if (this.#raised.has(kind) === (reason !== null)) return
    if (reason === null) {
      this.#raised.delete(kind)
      this.#metrics.alarm(kind, false)
      this.#folder.event('alarm-over', { alarm: kind, ...about })
      return
    }
    this.#raised.set(kind, reason)
    this.#metrics.alarm(kind, true)
    this.#observer.incident(`alarm: ${reason}`)
    this.#folder.event('alarm', { alarm: kind, reason, ...about })
  }
}
