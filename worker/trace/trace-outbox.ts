import type { Clock } from '../../shared/core/clock.ts'
import { limits } from '../../shared/core/limits.ts'
import type { ToCoordinator } from '../../shared/protocol/control.ts'
import { Notes } from './notes.ts'
import { SharedTrace } from './trace.ts'

type Heartbeat = Extract<ToCoordinator, { kind: 'heartbeat' }>

/** The communication thread's side of the trace: what it notes itself, and what of both threads goes to the coordinator. */
export class TraceOutbox {
  notes: Notes
  readonly #clock: Clock
  #shared: SharedTrace | null = null
  /** The last pulse of this connection, by the coordinator's clock, and when it came, by this one's. */
  #pulse: { readonly pulse: number; readonly received: number } | null = null

  constructor(clock: Clock) {
    this.#clock = clock
    this.notes = new Notes(clock, null)
  }

  /** From now on, in this memory. */
  use(memory: SharedArrayBuffer): void {
    this.#shared = new SharedTrace(0, memory)
    this.notes = new Notes(this.#clock, this.#shared.communication)
  }

  pulse(time: number | null): void {
    if (time !== null) this.#pulse = { pulse: time, received: this.#clock.now() }
  }

  /** To another coordinator, perhaps, on another clock. */
  reconnected(): void {
    this.#pulse = null
  }

  /** What the coordinator needs to know how this clock goes (clock-offset.ts). */
  get clock(): Heartbeat['clock'] {
    return this.#pulse && { ...this.#pulse, sent: this.#clock.now() }
  }

  /** Sends what has been noted; not before a heartbeat can have told how this clock goes. */
  flush(send: (message: ToCoordinator, bytes: Uint8Array) => void): void {
    if (!this.#shared || !this.#pulse) return
    for (const thread of ['compute', 'communication'] as const) {
      for (;;) {
        const taken = this.#shared[thread].take(limits.traceMessageRecords)
        if (!taken) break
        const { records, dropped } = taken
        send({ kind: 'trace', thread, dropped }, new Uint8Array(records.buffer, records.byteOffset, records.byteLength))
      }
    }
  }
}
