import { plane } from '../shared/collective/reduction.ts'
import type { Clock } from '../shared/core/clock.ts'
import { limits } from '../shared/core/limits.ts'
import { type FrameHeader, frameKind } from '../shared/protocol/frame.ts'
import type { LinkReport, RankReport } from '../shared/protocol/topology.ts'
import type { Payload, Transport } from '../shared/transport/transport.ts'

/** Empty frames there and back of which the fastest counts, and large ones. */
const rounds = { small: 4, large: 2 }
const largePayload = new Uint8Array(limits.probeBytes)

/** Sends a frame of this kind in the rank's group. */
type SendProbe = (rank: number, kind: number, segment: number, payload: Uint8Array, plane: number | null) => void

/**
 * Measures the links of one rank when its group forms. Every peer is asked for an answer: it comes behind what the peer has to
 * say about sharing a host, so that is settled then. The ranks 1, 2, 4 … behind this one are measured: one empty frame after
 * the other, then large ones, the fastest of each. Takes a few round trips, and `limits.probeMs` at most.
 */
export class LinkProbe {
  readonly #clock: Clock
  readonly #send: SendProbe
  readonly #transport: Pick<Transport, 'sameHost'>
  /** What is waited for, by rank and segment. */
  readonly #waiting = new Map<string, () => void>()
  readonly #scratch = new Uint8Array(limits.probeBytes)

  constructor(clock: Clock, transport: Pick<Transport, 'sameHost'>, send: SendProbe) {
    this.#clock = clock
    this.#transport = transport
    this.#send = send
  }

  async measure(rank: number, worldSize: number): Promise<RankReport> {
    const others = Array.from({ length: worldSize }, (_, other) => other).filter((other) => other !== rank)
    const measured = new Set<number>()
    for (let distance = 1; distance < worldSize; distance *= 2) measured.add((rank + distance) % worldSize)
    const late = this.#clock.sleep(others.length > 0 ? limits.probeMs : 0).then(() => null)
    const links = await Promise.all(others.map((other) => this.#link(other, measured.has(other), late)))
    return { sameHost: [...this.#transport.sameHost], links: links.flatMap((link) => link ?? []) }
  }

  receive(header: FrameHeader, payload: Payload): void {
    const { kind, sender, segment } = header
    if (kind === frameKind.probeAnswer) {
      this.#waiting.get(`${sender}/${segment}`)?.()
      return
    }
    if (payload.byteLength <= this.#scratch.byteLength) payload.copyTo(this.#scratch.subarray(0, payload.byteLength))
    this.#send(sender, frameKind.probeAnswer, segment, new Uint8Array(0), null)
  }

  async #link(rank: number, measured: boolean, late: Promise<null>): Promise<LinkReport | null> {
    let roundTripMs: number | null = null
    let largeMs: number | null = null
    let segment = 0
    let there = (await this.#roundTrip(rank, segment++, false, late)) !== null // it may have to connect first
    for (let round = 0; there && measured && round < rounds.small; round++) {
      const ms = await this.#roundTrip(rank, segment++, false, late)
      there = ms !== null
      if (ms !== null) roundTripMs = Math.min(ms, roundTripMs ?? ms)
    }
    for (let round = 0; there && measured && round < rounds.large; round++) {
      const started = this.#clock.now()
      const ms = await this.#roundTrip(rank, segment++, true, late)
      there = ms !== null
      // One that does not come in time is no faster than that.
      largeMs = Math.min(ms ?? this.#clock.now() - started, largeMs ?? Number.POSITIVE_INFINITY)
    }
    if (roundTripMs === null || largeMs === null) return null
    const movingMs = Math.max(largeMs - roundTripMs, 0.001)
    return { rank, roundTripUs: Math.max(roundTripMs * 1000, 1), bytesPerSecond: (1000 * limits.probeBytes) / movingMs }
  }

  /** Milliseconds; null where no answer comes in time. */
  async #roundTrip(rank: number, segment: number, large: boolean, late: Promise<null>): Promise<number | null> {
    const started = this.#clock.now()
    const key = `${rank}/${segment}`
    const answered = new Promise<true>((resolve) => this.#waiting.set(key, () => resolve(true)))
    this.#send(rank, frameKind.probe, segment, large ? largePayload : new Uint8Array(0), large ? plane.probe : null)
    const answer = await Promise.race([answered, late])
    this.#waiting.delete(key)
    return answer && this.#clock.now() - started
  }
}
