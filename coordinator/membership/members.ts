import type { Member } from './member.ts'

/**
 * Members by their worker id, in the order in which they came; never changed, only followed by others. A word from one
 * member, of which there are thousands a second in a large run, copies a list of references and no map.
 */
export class Members {
  static readonly none = new Members(new Map(), [])
  readonly #places: ReadonlyMap<string, number>
  readonly #list: readonly Member[]

  private constructor(places: ReadonlyMap<string, number>, list: readonly Member[]) {
    this.#places = places
    this.#list = list
  }

  static of(list: readonly Member[]): Members {
    return new Members(new Map(list.map(({ workerId }, place) => [workerId, place])), list)
  }

  get size(): number {
    return this.#list.length
  }

  has(workerId: string): boolean {
    return this.#places.has(workerId)
  }

  get(workerId: string): Member | undefined {
    const place = this.#places.get(workerId)
    return place === undefined ? undefined : this.#list[place]
  }

  values(): readonly Member[] {
    return this.#list
  }

  with(...members: readonly Member[]): Members {
    const list = this.#list.slice()
    const added: Member[] = []
    for (const member of members) {
      const place = this.#places.get(member.workerId)
      if (place === undefined) added.push(member)
      else list[place] = member
    }
    return added.length === 0 ? new Members(this.#places, list) : Members.of([...list, ...added])
  }

  without(...workerIds: readonly string[]): Members {
    const gone = new Set(workerIds)
    return Members.of(this.#list.filter(({ workerId }) => !gone.has(workerId)))
  }
}

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
