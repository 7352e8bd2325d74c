import type { Sender } from '../../shared/collective/all-reduce.ts'
import { type Clock, systemClock } from '../../shared/core/clock.ts'
import { frameKind } from '../../shared/protocol/frame.ts'
import { traceKind } from '../../shared/protocol/trace-record.ts'
import type { FrameHandler, Payload } from '../../shared/transport/transport.ts'
import { noTrace, type Trace } from './trace.ts'

const kinds = { send: traceKind('send'), receive: traceKind('receive') }
/** In place of a rank: all others. */
const everybody = -1

/** Notes the frames of collectives, as they leave and as they have been dealt with. */
export class SegmentNotes {
  readonly #clock: Clock
  readonly #trace: Trace

  constructor(clock: Clock, trace: Trace) {
    this.#clock = clock
    this.#trace = trace
  }

  /** The same transport. */
  sender(transport: Sender): Sender {
    return {
      send: (ranks, header, payload, ...how) => {
        const start = this.#now
        transport.send(ranks, header, payload, ...how)
        this.#frame(kinds.send, start, header, ranks.length === 1 ? (ranks[0] ?? everybody) : everybody, payload)
      },
      left: () => transport.left?.() ?? null,
      halt: () => transport.halt?.(),
    }
  }

  /** Has a frame that has come dealt with. */
  receive(header: Uint8Array, payload: Payload, handle: FrameHandler): void {
    const start = this.#now
    handle(header, payload)
    this.#frame(kinds.receive, start, header, u16(header, 26), payload)
  }

  /** 0 where nobody wants to know. */
  get #now(): number {
    return this.#trace.on ? this.#clock.now() : 0
  }

  #frame(kind: number, start: number, header: Uint8Array, peer: number, { byteLength }: { byteLength: number }): void {
    if (start === 0 || !this.#trace.on) return
    const frame = u16(header, 6)
    if (frame !== frameKind.contribution && frame !== frameKind.reduced) return
    this.#trace.add(kind, start, this.#clock.now(), u32(header, 20), u16(header, 24), peer, byteLength)
  }
}

export const noSegments = new SegmentNotes(systemClock, noTrace)

/** Fields of a frame's header (frame.ts), read without an object for it. */
const u16 = (header: Uint8Array, at: number): number => (header[at] ?? 0) | ((header[at + 1] ?? 0) << 8)
const u32 = (header: Uint8Array, at: number): number => u16(header, at) + u16(header, at + 2) * 0x10000
