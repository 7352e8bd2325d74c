import { limits } from '../../shared/core/limits.ts'
import type { FrameHeader } from '../../shared/protocol/frame.ts'
import type { Payload } from '../../shared/transport/transport.ts'

/** An activation or its gradient on its way between two stages; `kind`: as frames have it. */
export interface Parcel {
  readonly kind: number
  readonly step: number
  readonly microBatch: number
  /** Place in the shared memory in bytes, and floats. */
  readonly offset: number
  readonly count: number
}

type SendFrame = (
  rank: number,
  header: Pick<FrameHeader, 'kind' | 'step' | 'bucket' | 'offset' | 'count'>,
  bytes: Uint8Array,
) => void

interface Expected {
  readonly parcel: Parcel
  /** Floats that have not come yet. */
  missing: number
  resolve(bytes: number): void
  reject(error: Error): void
}

/**
 * What neighbouring stages of a pipeline hand to each other, from communication thread to communication thread. A frame that comes
 * before it is expected is kept; 1F1B bounds how many can be (shared/pipeline/schedule.ts), and `limits.maxEarlyBytes` holds them to it.
 */
export class Handover {
  /** Parcels that this rank has waited for, and those that have come: who waits for whom. */
  entered = 0
  taken = 0
  malformedFrames = 0
  readonly #memory: ArrayBufferLike
  readonly #send: SendFrame
  readonly #fail: (reason: string) => void
  readonly #expected = new Map<string, Expected>()
  readonly #early = new Map<string, [FrameHeader, Payload][]>()
  earlyBytes = 0
  #aborted: Error | null = null

  /** `fail`: ends the generation. */
  constructor(memory: WebAssembly.Memory, send: SendFrame, fail: (reason: string) => void) {
    this.#memory = memory.buffer
    this.#send = send
    this.#fail = fail
  }

  /** Sends floats of the shared memory, which may be written over once this returns; the bytes of them. */
  give(to: number, { kind, step, microBatch, offset, count }: Parcel): number {
    const most = limits.segmentBytes / 4
    for (let first = 0; first < count; first += most) {
      const floats = Math.min(most, count - first)
      const header = { kind, step, bucket: microBatch, offset: first, count: floats }
      this.#send(to, header, new Uint8Array(this.#memory, offset + first * 4, floats * 4))
    }
    return count * 4
  }

  /** Settles once the parcel of a rank lies at its place. Rejects when the group is aborted first. */
  take(from: number, parcel: Parcel): Promise<number> {
    if (this.#aborted) return Promise.reject(this.#aborted)
    this.entered++
    return new Promise((resolve, reject) => {
      const key = keyOf(from, parcel.kind, parcel.step, parcel.microBatch)
      this.#expected.set(key, { parcel, missing: parcel.count, resolve, reject })
      const early = this.#early.get(key) ?? []
      this.#early.delete(key)
      for (const [header, payload] of early) {
        this.earlyBytes -= payload.heldBytes
        this.receive(header, payload)
      }
    })
  }

  receive(header: FrameHeader, payload: Payload): void {
    if (this.#aborted) return
    const key = keyOf(header.sender, header.kind, header.step, header.bucket)
    const expected = this.#expected.get(key)
    if (!expected) return this.#keep(key, header, payload)
    const { parcel } = expected
    if (payload.byteLength !== header.count * 4 || header.offset + header.count > parcel.count) {
      this.malformedFrames++
      return this.#fail(`rank ${header.sender} cut micro-batch ${header.bucket} of step ${header.step} otherwise`)
    }
    payload.copyTo(new Uint8Array(this.#memory, parcel.offset + header.offset * 4, header.count * 4))
    expected.missing -= header.count
    if (expected.missing > 0) return
    this.#expected.delete(key)
    this.taken++
    expected.resolve(parcel.count * 4)
  }

  /** Fails all that is waited for, and all that will be. */
  abort(error: Error): void {
    this.#aborted ??= error
    for (const { reject } of this.#expected.values()) reject(error)
    this.#expected.clear()
    this.#early.clear()
  }

  #keep(key: string, header: FrameHeader, payload: Payload): void {
    this.earlyBytes += payload.heldBytes
    if (this.earlyBytes > limits.maxEarlyBytes)
      return this.#fail(`rank ${header.sender} sent more than ${limits.maxEarlyBytes} bytes ahead`)
    this.#early.set(key, [...(this.#early.get(key) ?? []), [header, payload]])
  }
}

const keyOf = (rank: number, kind: number, step: number, microBatch: number): string =>
  `${rank}/${kind}/${step}/${microBatch}`
