import { assert } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { streamLeadBytes } from '../protocol/stream-link.ts'
import type { PiecePool } from './piece-pool.ts'
import { bytesPayload, type FrameHandler, type Payload, type PlaceHandler, placedPayload } from './transport.ts'

/** Frames out of the bytes of a stream, which the socket reads straight to where `room` says. */
export class StreamReader {
  readonly #pool: PiecePool
  readonly #deliver: FrameHandler
  readonly #placeOf: PlaceHandler
  readonly #lead = Buffer.allocUnsafeSlow(streamLeadBytes)
  #leadBytes = 0
  #payloadBytes = 0
  #received = 0
  #pieces: Uint8Array[] = []
  /** Where the payload belongs, as far as that is known. */
  #place: Uint8Array | null = null
  /** What is filled now. */
  #room: Uint8Array = this.#lead

  constructor(pool: PiecePool, deliver: FrameHandler, placeOf: PlaceHandler = () => null) {
    this.#pool = pool
    this.#deliver = deliver
    this.#placeOf = placeOf
  }

  /** Where the next bytes go; never empty. */
  get room(): Uint8Array {
    return this.#room
  }

  /** So many bytes have come to where `room` said. False: what comes is no frame. */
  filled(count: number): boolean {
    this.#room = this.#room.subarray(count)
    if (this.#leadBytes < streamLeadBytes) {
      this.#leadBytes += count
      if (this.#leadBytes < streamLeadBytes) return true
      this.#payloadBytes = this.#lead.readUInt32LE(0)
      if (this.#payloadBytes > limits.segmentBytes) return false
      if (this.#payloadBytes > limits.inlineBytes) this.#toPlace()
    } else this.#received += count
    if (this.#received === this.#payloadBytes) this.#finish()
    else if (this.#room.byteLength === 0) this.#grow()
    return true
  }

  #toPlace(): void {
    const place = this.#placeOf(this.#lead.subarray(4))
    if (place?.byteLength !== this.#payloadBytes) return
    this.#place = place
    this.#room = place
  }

  #grow(): void {
    const missing = this.#payloadBytes - this.#received
    const small = this.#payloadBytes <= limits.inlineBytes
    const piece = small ? Buffer.allocUnsafe(missing) : this.#pool.take()
    this.#pieces.push(piece)
    this.#room = piece.subarray(0, missing)
  }

  #finish(): void {
    const payload = this.#payload()
    this.#pieces = []
    this.#place = null
    this.#received = 0
    this.#leadBytes = 0
    this.#room = this.#lead
    this.#deliver(Buffer.from(this.#lead.subarray(4)), payload) // a copy: the next frame is read into the same place
  }

  #payload(): Payload {
    const [first = this.#lead.subarray(0, 0)] = this.#pieces
    if (this.#place) return placedPayload(this.#place)
    if (this.#payloadBytes <= limits.inlineBytes) return bytesPayload(first)
    return new PooledPayload(this.#payloadBytes, this.#pieces, this.#pool)
  }
}

class PooledPayload implements Payload {
  readonly byteLength: number
  readonly #pool: PiecePool
  #pieces: readonly Uint8Array[]

  constructor(byteLength: number, pieces: readonly Uint8Array[], pool: PiecePool) {
    this.byteLength = byteLength
    this.#pieces = pieces
    this.#pool = pool
  }

  get heldBytes(): number {
    return this.#pieces.length * limits.pieceBytes
  }

  copyTo(target: Uint8Array, from = 0): void {
    assert(from + target.byteLength <= this.#pieces.length * limits.pieceBytes, 'a payload that is there is read')
    for (let done = 0; done < target.byteLength; ) {
      const at = (from + done) % limits.pieceBytes
      const some = Math.min(limits.pieceBytes - at, target.byteLength - done)
      const piece = this.#pieces[Math.floor((from + done) / limits.pieceBytes)]
      if (piece) target.set(piece.subarray(at, at + some), done)
      done += some
    }
  }

  release(): void {
    for (const piece of this.#pieces) this.#pool.give(piece)
    this.#pieces = []
  }
}
