import { assert } from '../core/errors.ts'
import { decodeOffer, type HostFiles, type Place } from '../protocol/file-lane.ts'
import { frameHeaderBytes } from '../protocol/frame.ts'
import type { FileWindows } from './file-windows.ts'
import { OwnFile, PeerFile } from './lane-file.ts'
import type { FrameHandler } from './transport.ts'

/** Planes 0 to 3 of the file hold payloads (shared/collective/reduction.ts). */
const plane = 4
/** Header of a frame, its place, and what shows that it was read whole. */
const slotBytes = 64
/** Frames of one rank to another that have not been read. */
const slots = 64
const acknowledgeEvery = slots / 4
/** In front of the rings. */
const acknowledgementsBytes = 1024 * slotBytes

/**
 * Frames between ranks of one host without a socket. A rank's file has a ring of slots for each other rank: it writes a frame's
 * header there once the payload is in its place, and the receiver looks there again and again. Nothing wakes anybody, which is what
 * a small message through a socket costs. Slots count as they are read: every few, the receiver writes how far it is to its own file.
 */
export class Mailbox {
  readonly #own: OwnFile
  readonly #rank: number
  readonly #peers: readonly Peer[]
  readonly #windows: FileWindows | null
  readonly #slot = new Uint32Array(slotBytes / 4)
  readonly #slotBuffer = new Uint8Array(this.#slot.buffer)
  readonly #header = this.#slotBuffer.subarray(4, 4 + frameHeaderBytes)
  onFrame: FrameHandler = () => {}

  /** Opens the files again, for this thread; null where one of them is gone. The windows, if there are any, are closed with them. */
  static open(rank: number, { own, peers }: HostFiles, windows: FileWindows | null = null): Mailbox | null {
    const offer = decodeOffer(own)
    const mine = offer && OwnFile.again(offer, windows)
    if (!mine) return null
    const opened = peers.map(([peer, bytes]) => ({ rank: peer, file: PeerFile.open(bytes, windows) }))
    const files = opened.flatMap(({ rank: peer, file }) => (file ? [{ rank: peer, file }] : []))
    if (files.length === peers.length) return new Mailbox(rank, mine, files, windows)
    for (const { file } of files) file.close()
    mine.close()
    return null
  }

  private constructor(
    rank: number,
    own: OwnFile,
    files: readonly { rank: number; file: PeerFile }[],
    windows: FileWindows | null,
  ) {
    this.#rank = rank
    this.#own = own
    this.#windows = windows
    this.#peers = files.map((peer) => ({
      ...peer,
      sent: 0,
      known: 0,
      received: 0,
      incoming: null,
      outgoing: null,
      waiting: [],
    }))
  }

  /** The payload lies at its place when this returns; the frame may wait until the receiver has read earlier ones. */
  send(ranks: readonly number[], header: Uint8Array, payload: Uint8Array, place: Place | null = null): void {
    assert(place, 'a frame through a file has a place')
    this.#own.write(payload, place)
    for (const peer of this.#peers) {
      if (!ranks.includes(peer.rank)) continue
      peer.waiting.push({ header, place })
      this.#flush(peer)
    }
  }

  /** Delivers what has come. False: nothing has. */
  poll(): boolean {
    let some = false
    for (const peer of this.#peers) {
      if (peer.waiting.length > 0) this.#flush(peer)
      for (let read = 0; read < slots && this.#receive(peer); read++) some = true
    }
    return some
  }

  close(): void {
    this.#windows?.close()
    this.#own.close()
    for (const { file } of this.#peers) file.close()
  }

  #flush(peer: Peer): void {
    for (let next = peer.waiting[0]; next; next = peer.waiting[0]) {
      if (peer.sent - peer.known >= slots) peer.known = this.#acknowledged(peer)
      if (peer.sent - peer.known >= slots) return
      peer.waiting.shift()
      const number = ++peer.sent
      this.#header.set(next.header)
      this.#slot[0] = number
      this.#slot[11] = next.place.plane
      this.#slot[12] = next.place.offset
      this.#slot[14] = mixed(this.#slot)
      this.#slot[15] = number
      peer.outgoing ??= this.#own.window(slotPlace(peer.rank, 0), slots * slotBytes)
      if (peer.outgoing) peer.outgoing.set(this.#slotBuffer, (number % slots) * slotBytes)
      else this.#own.write(this.#slotBuffer, slotPlace(peer.rank, number))
    }
  }

  #receive(peer: Peer): boolean {
    const number = peer.received + 1
    const slot = this.#slot
    if (!this.#look(peer, number)) return false
    // A slot that is just being written may be half the old one.
    if (slot[0] !== number || slot[15] !== number || slot[14] !== mixed(slot)) return false
    peer.received = number
    const place = { plane: slot[11] ?? 0, offset: slot[12] ?? 0 }
    const bytes = (slot[10] ?? 0) * 4 // the header ends with the number of its floats
    const header = Uint8Array.from(this.#header)
    if (number % acknowledgeEvery === 0) this.#acknowledge(peer)
    this.onFrame(header, peer.file.payload(place, bytes))
    return true
  }

  /** Brings the slot; false: there is no such frame yet, as far as its first word tells. */
  #look(peer: Peer, number: number): boolean {
    peer.incoming ??= wordsOf(peer.file.window(slotPlace(this.#rank, 0), slots * slotBytes))
    if (!peer.incoming) return peer.file.look(this.#slotBuffer, slotPlace(this.#rank, number))
    const first = ((number % slots) * slotBytes) / 4
    if (Atomics.load(peer.incoming, first) !== number) return false
    for (let index = 0; index < this.#slot.length; index++) this.#slot[index] = peer.incoming[first + index] ?? 0
    return true
  }

  #acknowledge(peer: Peer): void {
    this.#own.write(bytesOf(Uint32Array.of(peer.received, ~peer.received)), acknowledgementPlace(peer.rank))
  }

  /** How far the peer has read; what it was, where that is just being written. */
  #acknowledged(peer: Peer): number {
    const words = new Uint32Array(2)
    if (!peer.file.look(bytesOf(words), acknowledgementPlace(this.#rank))) return peer.known
    const [count = 0, inverted = 0] = words
    return (count ^ inverted) >>> 0 === 0xffff_ffff ? count : peer.known
  }
}

interface Peer {
  readonly rank: number
  readonly file: PeerFile
  /** Frames to it that are in its ring, those that it is known to have read, and those that came from it. */
  sent: number
  known: number
  received: number
  /** Its ring for this rank, and this rank's for it, where they are in memory. */
  incoming: Uint32Array | null
  outgoing: Uint8Array | null
  /** Bounded by what an algorithm has on the way. */
  readonly waiting: { readonly header: Uint8Array; readonly place: Place }[]
}

function slotPlace(receiver: number, number: number): Place {
  return { plane, offset: acknowledgementsBytes + (receiver * slots + (number % slots)) * slotBytes }
}

function acknowledgementPlace(sender: number): Place {
  return { plane, offset: sender * slotBytes }
}

/** Of the words before it. */
function mixed(slot: Uint32Array): number {
  let sum = 0x9e37_79b9
  for (let index = 0; index < 14; index++) sum = Math.imul(sum ^ (slot[index] ?? 0), 0x85eb_ca6b) ^ (sum >>> 15)
  return sum >>> 0
}

function wordsOf(bytes: Uint8Array | null): Uint32Array | null {
  return bytes && new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer)
}
