/** An event of events.jsonl, with the number of its line. */
export interface LoggedEvent {
  readonly id: number
  readonly time: string
  readonly kind: string
  readonly [field: string]: unknown
}

/** What the page shows besides the log, and so keeps for longer. */
const marks = new Set(['incident', 'evaluation', 'alarm', 'alarm-over'])
/** Of a field; a thousand ranks' topology is not for reading. */
const maxFieldCharacters = 1000

/** The newest events, and the newest of those that matter, so many of each at most. Pure. */
export class EventLog {
  readonly #maximum: number
  readonly #marks: LoggedEvent[] = []
  readonly #others: LoggedEvent[] = []
  #last = 0

  constructor(maximum: number) {
    this.#maximum = maximum
  }

  get last(): number {
    return this.#last
  }

  add(line: Readonly<Record<string, unknown>>): void {
    const { time, kind, ...fields } = line
    const short = Object.entries(fields).filter(
      ([, value]) => (JSON.stringify(value) ?? '').length <= maxFieldCharacters,
    )
    const event = { ...Object.fromEntries(short), id: ++this.#last, time: String(time), kind: String(kind) }
    const list = marks.has(event.kind) ? this.#marks : this.#others
    list.push(event)
    if (list.length > this.#maximum) list.shift()
  }

  /** In their order. */
  since(id: number): LoggedEvent[] {
    return [...this.#marks, ...this.#others].filter((event) => event.id > id).sort((a, b) => a.id - b.id)
  }
}
