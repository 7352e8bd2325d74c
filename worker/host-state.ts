import { plane } from '../shared/collective/reduction.ts'
import { decodeOffer, type HostFiles } from '../shared/protocol/file-lane.ts'
import { type FileMapping, FileWindows, pageBytes, upToPages } from '../shared/transport/file-windows.ts'
import { OwnFile } from '../shared/transport/lane-file.ts'
import type { MemoryRegion, ModelState } from './step/model-state.ts'

/** What copies of a state need: whose it is, how files are mapped, and addresses for two. */
export interface CopyRoom {
  readonly network: string
  readonly mapping: FileMapping
  readonly region: MemoryRegion
}

/** What is left of a memory's 4 GiB for all else. */
const spareBytes = 512 << 20

/** Null: files cannot be mapped here, or the memory has no room for two more of this network's weights and moments. */
export function copyRoom(state: ModelState, network: string | null, mapping: FileMapping | null): CopyRoom | null {
  if (network === null || !mapping) return null
  const bytes = 2 * copyBytes(state, network) + 2 * pageBytes
  if (state.memory.buffer.byteLength + bytes + spareBytes > 2 ** 32) return null
  return { network, mapping, region: { offset: state.arena.allocate(bytes), bytes } }
}

/**
 * Weights and moments of a network, which the ranks of a host hold together: two copies in the first rank's file, mapped by all. An update
 * reads one copy, and each rank writes its part of the other; once all have, that one counts. Until then what was read is whole on every
 * rank, and who is left when others die makes their parts as well: what two write at one place are the same bits.
 *
 * A rank that was taken for dead and wakes up may still write its part of the last update. The others have their own memory again by then, or
 * read that part, which it does not change.
 */
export class HostState {
  readonly network: string
  readonly #state: ModelState
  readonly #file: OwnFile
  readonly #windows: FileWindows
  readonly #mapping: FileMapping
  readonly #home: number
  readonly #copies: readonly [number, number]

  /** Null where there is no room in the file, or it is gone. All ranks open it, in any order. */
  static open(
    state: ModelState,
    { network, mapping, region }: CopyRoom,
    rank: number,
    files: HostFiles,
  ): HostState | null {
    const offer = decodeOffer(
      rank === 0 ? files.own : (files.peers.find(([peer]) => peer === 0)?.[1] ?? new Uint8Array(0)),
    )
    const windows = new FileWindows(mapping, state.memory.buffer, region)
    const file = offer && OwnFile.again(offer, windows)
    const bytes = copyBytes(state, network)
    const whole = file?.window({ plane: plane.state, offset: 0 }, 2 * bytes)
    if (file && whole)
      return new HostState(state, network, mapping, file, windows, [whole.byteOffset, whole.byteOffset + bytes])
    windows.close()
    file?.close()
    return null
  }

  private constructor(
    state: ModelState,
    network: string,
    mapping: FileMapping,
    file: OwnFile,
    windows: FileWindows,
    copies: readonly [number, number],
  ) {
    this.#state = state
    this.network = network
    this.#mapping = mapping
    this.#file = file
    this.#windows = windows
    this.#copies = copies
    this.#home = state.network(network).weights
  }

  /** Bytes from the state that counts to where the next one goes. */
  get to(): number {
    return this.#next - this.#state.network(this.network).weights
  }

  /** All parts of the next state are there: it counts. */
  flip(): void {
    const leavesHome = this.#state.network(this.network).weights === this.#home
    this.#state.place(this.network, this.#next)
    if (leavesHome) this.#releaseHome()
  }

  /** The state is in this rank's own memory again. */
  close(): void {
    const { weights, count } = this.#state.network(this.network)
    if (weights !== this.#home) {
      this.#state.floats(this.#home, 3 * count).set(this.#state.floats(weights, 3 * count))
      this.#state.place(this.network, this.#home)
    }
    this.#windows.close()
    this.#file.close()
  }

  get #next(): number {
    const [first, second] = this.#copies
    return this.#state.network(this.network).weights === first ? second : first
  }

  /** Its pages go back to the system until the state comes home. */
  #releaseHome(): void {
    const first = upToPages(this.#home)
    const end = Math.floor((this.#home + copyBytes(this.#state, this.network)) / pageBytes) * pageBytes
    if (end > first) this.#mapping.unmapFile(this.#state.bytes(first, end - first))
  }
}

/** Weights and two moments: a multiple of 64, as their addresses are. */
function copyBytes(state: ModelState, network: string): number {
  return 3 * state.network(network).count * 4
}
