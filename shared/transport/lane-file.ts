import { randomBytes, timingSafeEqual } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import type { Payload, Place } from './transport.ts'

const folder = '/dev/shm'
const temporaryFile = 0o20200000 // O_TMPFILE, which node:fs does not name
const nonceBytes = 32
const firstPlane = 65_536
const planeBytes = 2 ** 32 // more than a wasm memory holds; what is not written takes no room
const offerBytes = 8 + nonceBytes

/**
 * A file without a name in memory (tmpfs), through which a process gives payloads to others of its host. Nothing of it
 * stays behind, however the process ends. There is one for each generation, so what is read from it was never written by a
 * later one.
 */
export class OwnFile {
  /** Process, descriptor and nonce: whoever reads the nonce through /proc is on the same host. */
  readonly offer: Uint8Array
  readonly #descriptor: number

  private constructor(descriptor: number) {
    const offer = Buffer.allocUnsafe(offerBytes)
    offer.writeUInt32LE(process.pid, 0)
    offer.writeUInt32LE(descriptor, 4)
    offer.set(randomBytes(nonceBytes), 8)
    writeAll(descriptor, offer.subarray(8), 0)
    this.offer = offer
    this.#descriptor = descriptor
  }

  /** Null where there is no such folder, or no room in it. */
  static create(): OwnFile | null {
    try {
      return new OwnFile(openSync(folder, temporaryFile | constants.O_RDWR, 0o600))
    } catch {
      return null
    }
  }

  /** Throws where there is no room. */
  write(bytes: Uint8Array, { plane, offset }: Place): void {
    writeAll(this.#descriptor, bytes, positionOf(plane, offset))
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/** The file of a peer. */
export class PeerFile {
  readonly #descriptor: number
  #closed = false

  private constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  /** Null where the peer is not on this host, or its file is not for us to read. */
  static open(offer: Uint8Array): PeerFile | null {
    if (offer.byteLength !== offerBytes) return null
    const view = Buffer.from(offer.buffer, offer.byteOffset, offerBytes)
    let descriptor: number | null = null
    try {
      // Not to block where the offer names a pipe.
      const path = `/proc/${view.readUInt32LE(0)}/fd/${view.readUInt32LE(4)}`
      descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
      const nonce = Buffer.alloc(nonceBytes)
      if (fstatSync(descriptor).isFile() && readSync(descriptor, nonce, 0, nonceBytes, 0) === nonceBytes)
        if (timingSafeEqual(nonce, view.subarray(8))) return new PeerFile(descriptor)
    } catch {
      // Another host, another container, another user: the link stays on TCP.
    }
    if (descriptor !== null) closeSync(descriptor)
    return null
  }

  payload({ plane, offset }: Place, byteLength: number): Payload {
    const start = positionOf(plane, offset)
    return {
      byteLength,
      heldBytes: 0,
      copyTo: (target, from = 0) => this.#read(target, start + from),
    }
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

function positionOf(plane: number, offset: number): number {
  return firstPlane + plane * planeBytes + offset
}

function writeAll(descriptor: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.byteLength; )
    done += writeSync(descriptor, bytes, done, bytes.byteLength - done, position + done)
}
