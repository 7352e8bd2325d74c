import { decodePlace, encodeOffer, encodePlace, type HostFiles, type Place } from '../protocol/file-lane.ts'
import { decodeFrameHeader, encodeFrameHeader, frameKind } from '../protocol/frame.ts'
import { OwnFile, PeerFile } from './lane-file.ts'
import type { Payload, TransportGroup } from './transport.ts'

/**
 * The lane between workers of one host, for one generation (docs/adr/0009-same-host-lane.md). Each rank offers its
 * file to every other; one that can read it accepts, and from then on large payloads for it are written to the file and
 * only their headers travel by ZeroMQ. A link over which no acceptance comes stays as it is.
 */
export class SameHostLane {
  readonly #group: TransportGroup
  readonly #send: (rank: number, header: Uint8Array, payload: Uint8Array) => void
  /** Null where there is none, or no room for it any more. */
  #own: OwnFile | null
  readonly #readers = new Set<number>()
  readonly #files = new Map<number, PeerFile>()
  readonly #offers = new Map<number, Uint8Array>()
  readonly #onComplete: (files: HostFiles) => void

  constructor(
    group: TransportGroup,
    send: (rank: number, header: Uint8Array, payload: Uint8Array) => void,
    onComplete: (files: HostFiles) => void,
  ) {
    this.#group = group
    this.#send = send
    this.#onComplete = onComplete
    const wanted = group.wire !== 'tcp' && group.peers.length > 0
    this.#own = wanted ? OwnFile.create() : null
    if (this.#own)
      for (const { rank } of group.peers) this.#tell(rank, frameKind.fileOffer, encodeOffer(this.#own.offer))
  }

  /** Ranks that read this end's file. */
  get readers(): ReadonlySet<number> {
    return this.#readers
  }

  /** Whether this end has opened the rank's file. */
  reads(rank: number): boolean {
    return this.#files.has(rank)
  }

  /** An offer or an acceptance. */
  receive(headerBytes: Uint8Array, payload: Uint8Array): void {
    const header = decodeFrameHeader(headerBytes)
    const { run, generation, peers, wire } = this.#group
    if (!header || header.run !== run || header.generation !== generation || wire === 'tcp') return
    if (!peers.some(({ rank }) => rank === header.sender)) return
    if (header.kind === frameKind.fileAccept) {
      this.#readers.add(header.sender)
      return this.#look()
    }
    const file = this.#files.has(header.sender) ? null : PeerFile.open(payload)
    if (!file) return
    this.#files.set(header.sender, file)
    this.#offers.set(header.sender, Uint8Array.from(payload))
    this.#tell(header.sender, frameKind.fileAccept, new Uint8Array(0))
    this.#look()
  }

  #look(): void {
    const { generation, peers } = this.#group
    if (!this.#own || this.#readers.size < peers.length || this.#offers.size < peers.length) return
    this.#onComplete({ generation, own: encodeOffer(this.#own.offer), peers: [...this.#offers] })
  }

  /** Puts a payload into the file, and makes the message that says where. Null where it has to travel in its message. */
  place(header: Uint8Array, payload: Uint8Array, place: Place): Uint8Array[] | null {
    if (!this.#own) return null
    try {
      this.#own.write(payload, place)
    } catch {
      this.#own.close() // full: what is in it stays readable for those who have opened it
      this.#own = null
      return null
    }
    return [header, encodePlace(place, payload.byteLength)]
  }

  /** What a peer's message says lies in its file. Reading it fails where this end has not opened that file. */
  payload(headerBytes: Uint8Array, placed: Uint8Array): Payload {
    const header = decodeFrameHeader(headerBytes)
    const file = header?.generation === this.#group.generation ? this.#files.get(header.sender) : undefined
    const place = decodePlace(placed)
    if (file && place) return file.payload(place, place.byteLength)
    const copyTo = () => {
      throw new Error('a payload lies in a file that was not accepted')
    }
    return { byteLength: place?.byteLength ?? 0, heldBytes: 0, copyTo }
  }

  close(): void {
    this.#own?.close()
    this.#own = null
    this.#readers.clear()
    for (const file of this.#files.values()) file.close()
    this.#files.clear()
  }

  #tell(to: number, kind: number, payload: Uint8Array): void {
    const { run, generation, rank } = this.#group
    const header = encodeFrameHeader({
      ...{ kind, run, generation, step: 0, bucket: 0, sender: rank },
      ...{ segment: 0, part: 0, offset: 0, count: payload.byteLength / 4 },
    })
    this.#send(to, header, payload)
  }
}
