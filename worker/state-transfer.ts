import { createHash, timingSafeEqual } from 'node:crypto'
import { RingleaderError } from '../shared/core/errors.ts'
import { limits } from '../shared/core/limits.ts'
import type { StateIdentity } from '../shared/protocol/control.ts'
import { type FrameHeader, frameKind } from '../shared/protocol/frame.ts'
import type { Payload } from '../shared/transport/transport.ts'
import type { MemoryRegion } from './step/model-state.ts'

const digestBytes = 32

type SendFrame = (rank: number, kind: number, segment: number, payload: Uint8Array) => void

interface Fetch {
  readonly source: number
  bytes: number
  resolve(bytes: number): void
  reject(error: Error): void
}

/**
 * Moves the state of one worker into the memory of another, from communication thread to communication thread. The
 * receiver asks for pieces, a window at a time; each comes behind its SHA-256. Pieces of an identity that arrived before a
 * fetch broke off are not asked for again, whoever serves the rest: equal identities are equal bits.
 */
export class StateTransfer {
  /** Pieces that have come so far. */
  fetched = 0
  readonly #memory: ArrayBufferLike
  readonly #pieces: readonly MemoryRegion[]
  readonly #send: SendFrame
  #missing: number[] = []
  #partial: StateIdentity | null = null
  #asked = new Set<number>()
  #fetch: Fetch | null = null

  constructor(memory: WebAssembly.Memory, regions: readonly MemoryRegion[], send: SendFrame) {
    this.#memory = memory.buffer
    this.#pieces = regions.flatMap(cut)
    this.#send = send
  }

  /** Bytes that travelled. Rejects when the group is aborted first; then this memory holds no state. */
  fetch(source: number, identity: StateIdentity): Promise<number> {
    const same = this.#partial?.generation === identity.generation && this.#partial.step === identity.step
    if (!same) this.#missing = this.#pieces.map((_, index) => index)
    this.#partial = identity
    return new Promise((resolve, reject) => {
      this.#fetch = { source, bytes: 0, resolve, reject }
      this.#ask()
    })
  }

  receive(header: FrameHeader, { byteLength, copyTo }: Payload): void {
    if (header.kind === frameKind.stateRequest) return this.#serve(header)
    const fetch = this.#fetch
    const piece = this.#pieces[header.segment]
    if (!fetch || !piece || header.sender !== fetch.source || !this.#asked.delete(header.segment)) return
    const answer = new Uint8Array(byteLength)
    copyTo(answer)
    const bytes = answer.subarray(digestBytes)
    if (bytes.byteLength === piece.bytes && timingSafeEqual(digest(bytes), answer.subarray(0, digestBytes))) {
      new Uint8Array(this.#memory, piece.offset, piece.bytes).set(bytes)
      fetch.bytes += piece.bytes
      this.fetched++
      this.#missing = this.#missing.filter((index) => index !== header.segment)
    }
    if (this.#missing.length > 0) return this.#ask()
    this.#fetch = null
    this.#partial = null
    fetch.resolve(fetch.bytes)
  }

  abort(error: Error): void {
    this.#asked.clear()
    this.#fetch?.reject(new RingleaderError('collective', error.message, { recoverable: true }))
    this.#fetch = null
  }

  #ask(): void {
    for (const index of this.#missing) {
      if (this.#asked.size >= limits.stateWindow) return
      if (this.#asked.has(index)) continue
      this.#asked.add(index)
      this.#send(this.#fetch?.source ?? 0, frameKind.stateRequest, index, new Uint8Array(0))
    }
  }

  #serve(header: FrameHeader): void {
    const piece = this.#pieces[header.segment]
    if (!piece) return
    const answer = new Uint8Array(digestBytes + piece.bytes)
    answer.set(new Uint8Array(this.#memory, piece.offset, piece.bytes), digestBytes)
    answer.set(digest(answer.subarray(digestBytes)))
    this.#send(header.sender, frameKind.statePiece, header.segment, answer)
  }
}

function digest(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest()
}

/** A data frame holds the piece and its digest. */
function cut({ offset, bytes }: MemoryRegion): MemoryRegion[] {
  const pieces: MemoryRegion[] = []
  for (let start = 0; start < bytes; start += limits.statePieceBytes)
    pieces.push({ offset: offset + start, bytes: Math.min(limits.statePieceBytes, bytes - start) })
  return pieces
}
