import { RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { sha256 as digest } from '../../shared/dataset/chunk.ts'

/** Asks the coordinator for bytes by their SHA-256, and checks what comes. */
export class BlobClient {
  readonly #request: (sha256: string) => void
  readonly #waiting = new Map<
    string,
    { promise: Promise<Uint8Array>; resolve(bytes: Uint8Array): void; reject(error: Error): void }
  >()

  constructor(request: (sha256: string) => void) {
    this.#request = request
  }

  fetch(sha256: string): Promise<Uint8Array> {
    const open = this.#waiting.get(sha256)
    if (open) return open.promise
    let resolve: (bytes: Uint8Array) => void = () => {}
    let reject: (error: Error) => void = () => {}
    const promise = new Promise<Uint8Array>((onResolve, onReject) => {
      resolve = onResolve
      reject = onReject
    })
    this.#waiting.set(sha256, { promise, resolve, reject })
    this.#request(sha256)
    return promise
  }

  receive(sha256: string, bytes: Uint8Array): void {
    const waiting = this.#waiting.get(sha256)
    if (!waiting) return
    this.#waiting.delete(sha256)
    const found = digest(bytes)
    if (found === sha256) waiting.resolve(bytes)
    else
      waiting.reject(
        new RingleaderError('blob-corrupt', `chunk ${sha256} arrived as ${found} (${bytes.byteLength} bytes)`, {
          recoverable: true,
        }),
      )
  }

  /** What was asked of a coordinator that is gone. */
  askAgain(): void {
    for (const sha256 of this.#waiting.keys()) this.#request(sha256)
  }

  fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error)
    this.#waiting.clear()
  }

  /** One file of several pieces, a window of them at a time. */
  async fetchAll(pieces: readonly { sha256: string; bytes: number }[]): Promise<Uint8Array> {
    const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.bytes, 0))
    let position = 0
    for (let start = 0; start < pieces.length; start += limits.blobWindow) {
      const window = pieces.slice(start, start + limits.blobWindow)
      for (const bytes of await Promise.all(window.map((piece) => this.fetch(piece.sha256)))) {
        whole.set(bytes, position)
        position += bytes.byteLength
      }
    }
    return whole
  }
}
