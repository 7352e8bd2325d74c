/**
 * @typedef {{ mean: (number | null)[], min: (number | null)[], max: (number | null)[] }} Column
 * @typedef {{ id: number, time: string, kind: string, [field: string]: unknown }} LoggedEvent
 * @typedef {{ id: number, time: string, level: 'debug' | 'info' | 'warn' | 'error', worker: string, text: string }} LogLine
 * @typedef {{ workerId: string, rank: number | null, stage?: number, step: number, standing: string, lanes: number, computeSeconds: number | null, slow: string | null }} Worker
 * @typedef {{ epoch: number, distinct: number, duplicates: number, missing: number }} Coverage
 * @typedef {{ model: string, dataset: string, phase: string, held?: boolean, reason?: string, generation?: number, worldSize?: number,
 *   step: number, totalSteps: number, epoch: number, workers?: Worker[], coverage?: Coverage[],
 *   alarms?: { alarm: string, reason: string }[], goodput?: import('./goodput.mjs').Goodput,
 *   advice?: import('./advice.mjs').Advice | null,
 *   algorithm?: { name: string, reason: string } }} Status
 * @typedef {{ from: number, steps: number[], columns: Record<string, Column> }} SeriesUpdate
 * @typedef {{ status?: Status, series?: SeriesUpdate, events?: LoggedEvent[], lines?: LogLine[], samples?: number[] }} Update
 */

/** As many as the server keeps, and some more. */
const maxEvents = 1500
const maxLines = 600

/** This page's copy of a run, which follows from the updates alone. */
export class RunData {
  /** @type {Status | null} */
  status = null
  /** @type {number[]} */
  steps = []
  /** @type {Map<string, Column>} */
  columns = new Map()
  /** @type {LoggedEvent[]} */
  events = []
  /** @type {LogLine[]} */
  lines = []
  /** @type {number[]} */
  samples = []

  /** @param {Update} update */
  apply({ status, series, events, lines, samples }) {
    if (status) this.status = status
    if (series) this.#series(series)
    if (events) {
      const known = new Map([...this.events, ...events].map((event) => [event.id, event]))
      this.events = [...known.values()].sort((a, b) => a.id - b.id).slice(-maxEvents)
    }
    if (lines) {
      const known = new Map([...this.lines, ...lines].map((line) => [line.id, line]))
      this.lines = [...known.values()].sort((a, b) => a.id - b.id).slice(-maxLines)
    }
    if (samples) this.samples = samples
  }

  /**
   * The last value of a series.
   * @param {string} name
   */
  last(name) {
    return this.columns.get(name)?.mean.findLast((value) => value !== null) ?? null
  }

  /** @param {SeriesUpdate} update */
  #series({ from, steps, columns }) {
    this.steps = [...this.steps.slice(0, from), ...steps]
    if (from === 0) this.columns.clear()
    for (const [name, fresh] of Object.entries(columns)) {
      const old = this.columns.get(name)
      const before = Array.from({ length: from }, () => null)
      /** @param {'mean' | 'min' | 'max'} key */
      const joined = (key) => [...(old?.[key].slice(0, from) ?? before), ...fresh[key]]
      this.columns.set(name, { mean: joined('mean'), min: joined('min'), max: joined('max') })
    }
  }
}
