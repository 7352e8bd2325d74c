import { decodeFrameHeader, withSender } from '../protocol/frame.ts'
import type { Sender } from './all-reduce.ts'

/** Some ranks of a group as a group of their own, in which they are numbered from 0: the links know them by their own numbers. */
export class Subgroup {
  readonly sender: Sender
  readonly #ranks: readonly number[]

  constructor(ranks: readonly number[], transport: Sender) {
    this.#ranks = ranks
    const real = (rank: number) => ranks[rank] ?? 0
    this.sender = {
      send(to, header, ...rest) {
        const { sender = 0 } = decodeFrameHeader(header) ?? {}
        transport.send(to.map(real), withSender(header, real(sender)), ...rest)
      },
      ...(transport.left ? { left: () => transport.left?.() ?? null } : {}),
      ...(transport.halt ? { halt: () => transport.halt?.() } : {}),
    }
  }

  /** A header that came from one of these ranks, as the subgroup has it; null: it came from another. */
  inside(header: Uint8Array): Uint8Array | null {
    const place = this.#ranks.indexOf(decodeFrameHeader(header)?.sender ?? -1)
    return place < 0 ? null : withSender(header, place)
  }
}
