import { randomBytes, timingSafeEqual } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import { decodeOffer, type FileOffer, nonceBytes, type Place } from '../protocol/file-lane.ts'
import { type FileWindows, mappedPayload } from './file-windows.ts'
import type { Payload } from './transport.ts'

const folder = '/dev/shm'
const temporaryFile = 0o20000000 | constants.O_DIRECTORY // O_TMPFILE, which node:fs does not name
const firstPlane = 65_536
const planeBytes = 2 ** 32 // more than a wasm memory holds; what is not written takes no room

/**
 * A file without a name in memory (tmpfs), through which a process gives payloads to others of its host. Nothing of it
 * stays behind, however the process ends. There is one for each generation, so what is read from it was never written by a
 * later one.
 */
export class OwnFile {
  readonly offer: FileOffer
  readonly #descriptor: number
  readonly #windows: FileWindows | null

  private constructor(descriptor: number, nonce: Uint8Array, windows: FileWindows | null = null) {
    this.offer = { processId: process.pid, descriptor, nonce }
    this.#descriptor = descriptor
    this.#windows = windows
  }

  /** Null where there is no such folder, or no room in it. */
  static create(): OwnFile | null {
    try {
      const descriptor = openSync(folder, temporaryFile | constants.O_RDWR, 0o600)
      const nonce = randomBytes(nonceBytes)
      writeAll(descriptor, nonce, 0)
      return new OwnFile(descriptor, nonce)
    } catch {
      return null
    }
  }

  /** The same file for another thread of this process, with a descriptor of its own; null where it is gone. */
  static again(offer: FileOffer, windows: FileWindows | null = null): OwnFile | null {
    const descriptor = openProven(offer, constants.O_RDWR)
    return descriptor === null ? null : new OwnFile(descriptor, offer.nonce, windows)
  }

  /** Throws where there is no room. */
  write(bytes: Uint8Array, { plane, offset }: Place): void {
    const there = this.window({ plane, offset }, bytes.byteLength)
    if (there) there.set(bytes)
    else writeAll(this.#descriptor, bytes, positionOf(plane, offset))
  }

  /** The bytes there, to be written; null where they are not in memory. */
  window({ plane, offset }: Place, byteLength: number): Uint8Array | null {
    return this.#windows?.bytes(this.#descriptor, positionOf(plane, offset), byteLength, true) ?? null
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/** The file of a peer. */
export class PeerFile {
  readonly #descriptor: number
  readonly #windows: FileWindows | null
  #closed = false

  private constructor(descriptor: number, windows: FileWindows | null) {
    this.#descriptor = descriptor
    this.#windows = windows
  }

  /** Null where the peer is not on this host, or its file is not for us to read. */
  static open(data: Uint8Array, windows: FileWindows | null = null): PeerFile | null {
    const offer = decodeOffer(data)
    const descriptor = offer && openProven(offer, constants.O_RDONLY)
    return descriptor === null ? null : new PeerFile(descriptor, windows)
  }

  payload({ plane, offset }: Place, byteLength: number): Payload {
    const start = positionOf(plane, offset)
    const there = this.window({ plane, offset }, byteLength)
    if (there) return mappedPayload(there)
    return {
      byteLength,
      heldBytes: 0,
      copyTo: (target, from = 0) => this.#read(target, start + from),
    }
  }

  /** The bytes there, as they are and will be; null where they are not in memory, or not yet. */
  window({ plane, offset }: Place, byteLength: number): Uint8Array | null {
    return this.#windows?.bytes(this.#descriptor, positionOf(plane, offset), byteLength, false) ?? null
  }

  /** False where there is nothing yet. */
  look(target: Uint8Array, { plane, offset }: Place): boolean {
    const start = positionOf(plane, offset)
    return readSync(this.#descriptor, target, 0, target.byteLength, start) === target.byteLength
  }

  close(): void {
    this.#closed = true
    closeSync(this.#descriptor)
  }

  #read(target: Uint8Array, position: number): void {
    if (this.#closed) throw new Error('the file of a generation that is over was read')
    for (let done = 0; done < target.byteLength; ) {
      const count = readSync(this.#descriptor, target, done, target.byteLength - done, position + done)
      if (count === 0) throw new Error("a peer's file is shorter than it said")
      done += count
    }
  }
}

/** Of a file that begins with the offer's nonce. */
function openProven({ processId, descriptor: offered, nonce }: FileOffer, mode: number): number | null {
  let descriptor: number | null = null
  try {
    descriptor = openSync(`/proc/${processId}/fd/${offered}`, mode | constants.O_NONBLOCK) // an offer may name a pipe
    const read = Buffer.alloc(nonceBytes)
    if (fstatSync(descriptor).isFile() && readSync(descriptor, read, 0, nonceBytes, 0) === nonceBytes)
      if (timingSafeEqual(read, nonce)) return descriptor
  } catch {
    // Another host, another container, another user: the link stays on TCP.
  }
  if (descriptor !== null) closeSync(descriptor)
  return null
}

function positionOf(plane: number, offset: number): number {
  return firstPlane + plane * planeBytes + offset
}

function writeAll(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.byteLength; )
    done += writeSync(descriptor, bytes, done, bytes.byteLength - done, position + done)
}
