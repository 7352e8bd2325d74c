import { limits } from '../core/limits.ts'

/**
 * Memory for payloads on their way, in pieces of one size that are used again: fresh memory costs a page fault for every
 * 4 KiB, which is more than copying them. What is used again soon is still in the core's cache.
 */
export class PiecePool {
  readonly #free: Uint8Array[] = []

  take(): Uint8Array {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(limits.pieceBytes)
  }

  /** A piece that never comes back is the garbage collector's. */
  give(piece: Uint8Array): void {
    if (this.#free.length < limits.pooledPieces) this.#free.push(piece)
  }
}
