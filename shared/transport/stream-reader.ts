import { assert } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { streamLeadBytes } from '../protocol/stream-link.ts'
import type { PiecePool } from './piece-pool.ts'
import { bytesPayload, type FrameHandler, type Payload } from './transport.ts'

/** Frames out of the bytes of a stream, which the socket reads straight to where `room` says. */
export class StreamReader {
  readonly #pool: PiecePool
  readonly #deliver: FrameHandler
  readonly #lead = Buffer.allocUnsafeSlow(streamLeadBytes)
  #leadBytes = 0
  #payloadBytes = 0
  #received = 0
  #pieces: Uint8Array[] = []
  /** What is filled now. */
  #room: Uint8Array = this.#lead

  constructor(pool: PiecePool, deliver: FrameHandler) {
    this.#pool = pool
    this.#deliver = deliver
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
    } else this.#received += count
    if (this.#received === this.#payloadBytes) this.#finish()
    else if (this.#room.byteLength === 0) this.#grow()
    return true
  }

  #grow(): void {
    const missing = this.#payloadBytes - this.#received
    const small = this.#payloadBytes <= limits.inlineBytes
    const piece = small ? Buffer.allocUnsafe(missing) : this.#pool.take()
    this.#pieces.push(piece)
    this.#room = piece.subarray(0, missing)
  }

  #finish(): void {
    const [first = this.#lead.subarray(0, 0)] = this.#pieces
    const payload =
      this.#payloadBytes <= limits.inlineBytes
        ? bytesPayload(first)
        : new PooledPayload(this.#payloadBytes, this.#pieces, this.#pool)
    this.#pieces = []
    this.#received = 0
    this.#leadBytes = 0
    this.#room = this.#lead
    this.#deliver(Buffer.from(this.#lead.subarray(4)), payload) // a copy: the next frame is read into the same place
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
