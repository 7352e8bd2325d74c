import type { Payload } from './transport.ts'

/** Of the native addon (worker/backend/native/binding.cc): JavaScript has no memory that processes share. */
export interface FileMapping {
  /**
   * From now on the bytes of the target are those of the file, from `position` on; all in whole pages of 4 KiB. `owned`: they may be
   * written, and take their room in the file first. False where that cannot be; the target is as it was.
   */
  mapFile(descriptor: number, position: number, target: Uint8Array, owned: boolean): boolean
  /** It is plain memory again, of zeros. */
  unmapFile(target: Uint8Array): void
}

/** In whole ones of them are files mapped. */
export const pageBytes = 4096

/**
 * Parts of files that lie in a region of a shared wasm memory, so that kernels read what another process has written, and a copy is a
 * copy in memory: no call into the system, and none of its page by page work. Where one cannot be had its file is read and written.
 * A window that is open stays until all are closed, since what goes through a file lies in the same places step after step.
 */
export class FileWindows {
  readonly #mapping: FileMapping
  readonly #buffer: ArrayBufferLike
  readonly #end: number
  readonly #first: number
  #next: number
  /** By descriptor, then by the position of the first byte. */
  readonly #open = new Map<number, Map<number, Uint8Array>>()

  constructor(
    mapping: FileMapping,
    buffer: ArrayBufferLike,
    region: { readonly offset: number; readonly bytes: number },
  ) {
    this.#mapping = mapping
    this.#buffer = buffer
    this.#first = upToPages(region.offset)
    this.#next = this.#first
    this.#end = region.offset + region.bytes
  }

  /** Null: the file is not so long yet, there is no room, or this system does not do it. */
  bytes(descriptor: number, position: number, byteLength: number, owned: boolean): Uint8Array | null {
    const ofFile = this.#open.get(descriptor) ?? new Map<number, Uint8Array>()
    this.#open.set(descriptor, ofFile)
    const known = ofFile.get(position)
    if (known && known.byteLength === byteLength) return known
    if (known && known.byteLength > byteLength) return known.subarray(0, byteLength)
    const before = position % pageBytes
    const bytes = upToPages(before + byteLength)
    if (bytes > this.#end - this.#next) return null
    const pages = new Uint8Array(this.#buffer, this.#next, bytes)
    if (!this.#mapping.mapFile(descriptor, position - before, pages, owned)) return null
    this.#next += bytes
    const there = pages.subarray(before, before + byteLength)
    ofFile.set(position, there)
    return there
  }

  /** Nothing that was open may be read after this. */
  close(): void {
    this.#open.clear()
    if (this.#next > this.#first)
      this.#mapping.unmapFile(new Uint8Array(this.#buffer, this.#first, this.#next - this.#first))
    this.#next = this.#first
  }
}

/** A payload in the memory of the kernels. */
export function mappedPayload(bytes: Uint8Array): Payload {
  const { buffer, byteOffset, byteLength } = bytes
  const whole = byteOffset % 4 === 0 && byteLength % 4 === 0
  return {
    byteLength,
    heldBytes: 0,
    ...(whole && { values: new Float32Array(buffer, byteOffset, byteLength / 4) }),
    copyTo: (target, from = 0) => target.set(bytes.subarray(from, from + target.byteLength)),
  }
}

export function upToPages(bytes: number): number {
  return Math.ceil(bytes / pageBytes) * pageBytes
}
