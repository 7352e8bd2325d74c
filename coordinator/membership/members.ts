import type { Member } from './member.ts'

/** Members in a piece of the list; the root of a thousand, about. */
const pieceLength = 32

/**
 * Members by their worker id, in the order in which they came; never changed, only followed by others. A word from one
 * member, of which there are thousands a second in a large run, copies a piece of the list and the list of pieces.
 */
export class Members {
  readonly #places: ReadonlyMap<string, number>
  readonly #pieces: readonly (readonly Member[])[]
  #all: readonly Member[] | null = null

  private constructor(places: ReadonlyMap<string, number>, pieces: readonly (readonly Member[])[]) {
    this.#places = places
    this.#pieces = pieces
  }

  static of(list: readonly Member[]): Members {
    const pieces: Member[][] = []
    for (let at = 0; at < list.length; at += pieceLength) pieces.push(list.slice(at, at + pieceLength))
    return new Members(new Map(list.map(({ workerId }, place) => [workerId, place])), pieces)
  }

  get size(): number {
    return this.#places.size
  }

  has(workerId: string): boolean {
    return this.#places.has(workerId)
  }

  get(workerId: string): Member | undefined {
    const place = this.#places.get(workerId)
    return place === undefined ? undefined : this.#pieces[Math.floor(place / pieceLength)]?.[place % pieceLength]
  }

  values(): readonly Member[] {
    this.#all ??= this.#pieces.flat()
    return this.#all
  }

  with(member: Member): Members {
    const place = this.#places.get(member.workerId)
    if (place === undefined) return this.#append(member)
    const index = Math.floor(place / pieceLength)
    const piece = (this.#pieces[index] ?? []).with(place % pieceLength, member)
    return new Members(this.#places, this.#pieces.with(index, piece))
  }

  #append(member: Member): Members {
    const places = new Map(this.#places).set(member.workerId, this.size)
    const last = this.#pieces.at(-1)
    if (!last || last.length === pieceLength) return new Members(places, [...this.#pieces, [member]])
    return new Members(places, this.#pieces.with(-1, [...last, member]))
  }

  /** Others in the place of some. */
  withAll(members: readonly Member[]): Members {
    const others = new Map(members.map((member) => [member.workerId, member]))
    return Members.of(this.values().map((member) => others.get(member.workerId) ?? member))
  }

  without(...workerIds: readonly string[]): Members {
    const gone = new Set(workerIds)
    return Members.of(this.values().filter(({ workerId }) => !gone.has(workerId)))
  }
}

export const noMembers: Members = Members.of([])

const ranks = new WeakMap<readonly string[], ReadonlyMap<string, number>>()

/** Place of a worker in a group; −1: it is not in it. Of each group the ranks are worked out once. */
export function rankIn(group: readonly string[], workerId: string): number {
  let known = ranks.get(group)
  if (!known) {
    known = new Map(group.map((id, rank) => [id, rank]))
    ranks.set(group, known)
  }
  return known.get(workerId) ?? -1
}
