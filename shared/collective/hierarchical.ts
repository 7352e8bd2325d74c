import { assert } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type FrameHeader, frameKind } from '../protocol/frame.ts'
import type { Payload } from '../transport/transport.ts'
import { chunkOf, type Range, ranksBut, segmentsOf } from './chunks.ts'
import { type BucketView, plane, type Reduction, type Verdict } from './reduction.ts'
import type { Part } from './sums.ts'
import { ranksByHost } from './topology.ts'

/** A run of segments that takes one way through the hosts. */
interface Strip {
  /** The rank of each host that handles it there, by host. */
  readonly owners: readonly number[]
  /** The host whose owner makes the sum. */
  readonly home: number
  readonly segments: readonly Range[]
}

interface Segment {
  readonly strip: Strip
  readonly index: number
  readonly range: Range
  /** Parts of the ranks of this host, in their order, and of the hosts. */
  readonly local: (Part | undefined)[]
  readonly byHost: (Part | undefined)[]
  added: boolean
  done: boolean
}

/**
 * Hierarchical all-reduce: sums inside a host first, over the lane in memory, so that a gradient leaves a host once and not
 * once for each of its ranks (as in Horovod's hierarchical all-reduce, and BlueConnect, Cho et al. 2019).
 *
 * H hosts of n₁ … n_H ranks, n the largest. A bucket of E elements is cut into n chunks, a chunk into H strips. In a host of
 * m ranks its rank c mod m owns chunk c. For strip h of chunk c:
 * 1. every rank sends its part to the owner in its own host, which adds in rank order (inside a host, 1 hop);
 * 2. the owners of the other hosts send that sum to the owner in host h, which adds in the order of hosts (1 hop);
 * 3. it sends the result back to them (1 hop), and each owner gives it to the ranks of its host (1 hop).
 * So n streams leave a host side by side, each for its own chunk, and together they move 2 E (H−1)/H elements a host, where
 * `direct` moves 2 E n (N−n)/N: n times as many. Inside a host of m ranks each moves 2 E (m−1)/m. Cost (cost.ts):
 * 2 αᵢ + 2 αₑ + 2 (n−1 + H−1) o + 2 E (n−1)/n βᵢ + 2 E (H−1)/H βₑ, against 2 αₑ + 2 (N−1) o + 2 E n (N−n)/N βₑ.
 * With one host, or with one rank a host, this is `direct`.
 *
 * Each sum is made in one place and in a fixed order, ((r₀ + r₁ + …) of host 0) + (… of host 1) + …: the same bits on all
 * replicas and in a second run with the same hosts. They depend on who shares a host, so a reproducible run does not use it.
 *
 * A rank has `directWindow` segments of a strip on the way: segment i + window leaves when the result of i has come. Files: as
 * in direct.ts, segment i lies in place i mod window of its strip; a rank sends an element as a partial sum to one reader
 * once (to its host's owner, or as that owner to another host). Both rules of reduction.ts hold.
 */
export class HierarchicalReduction implements Reduction {
  readonly #bucket: BucketView
  readonly #hosts: readonly (readonly number[])[]
  readonly #hostOf: readonly number[]
  readonly #host: number
  readonly #strips: readonly Strip[]
  /** By first element. */
  readonly #segments = new Map<number, Segment>()
  #remaining: number

  constructor(bucket: BucketView) {
    this.#bucket = bucket
    const { rank, hosts } = bucket
    this.#hosts = ranksByHost(hosts)
    this.#hostOf = hosts.map((_, some) => this.#hosts.findIndex((ranks) => ranks.includes(some)))
    this.#host = this.#hostOf[rank] ?? 0
    assert(bucket.parts === 1 && hosts.length === bucket.worldSize, 'hosts are known, and a rank has one sum')
    this.#strips = stripsOf(bucket, this.#hosts)
    for (const strip of this.#strips)
      for (const [index, range] of strip.segments.entries())
        this.#segments.set(range.start, this.#segment(strip, index, range))
    this.#remaining = this.#segments.size
  }

  get done(): boolean {
    return this.#remaining === 0
  }

  begin(): void {
    for (let index = 0; index < limits.directWindow; index++)
      for (const strip of this.#strips) this.#contribute(strip, index)
  }

  accept({ kind, sender, offset, count, part }: FrameHeader, payload: Payload): Verdict {
    const segment = this.#segments.get(offset)
    if (!segment || segment.range.end - offset !== count || part !== 0) return 'foreign'
    const inside = this.#hostOf[sender] === this.#host
    const { strip } = segment
    const mine = strip.owners[this.#host] === this.#bucket.rank
    if (kind === frameKind.reduced) {
      const from = mine ? strip.owners[strip.home] : strip.owners[this.#host]
      if (sender !== from || sender === this.#bucket.rank) return 'foreign'
      if (segment.done) return 'repeated'
      this.#bucket.sums.copy(this.#bucket.values(segment.range), payload)
      this.#finish(segment, mine ? this.#others(this.#host) : [])
      return 'taken'
    }
    if (!mine || (!inside && (strip.home !== this.#host || sender !== strip.owners[this.#hostOf[sender] ?? -1])))
      return 'foreign'
    const parts = inside ? segment.local : segment.byHost
    const place = inside ? (this.#hosts[this.#host] ?? []).indexOf(sender) : (this.#hostOf[sender] ?? -1)
    if (parts[place] || segment.done || (inside && segment.added)) return 'repeated'
    parts[place] = payload
    this.#advance(segment)
    return 'taken'
  }

  #segment(strip: Strip, index: number, range: Range): Segment {
    const local = new Array<Part | undefined>(this.#hosts[this.#host]?.length ?? 0)
    return { strip, index, range, local, byHost: new Array(this.#hosts.length), added: false, done: false }
  }

  /** This rank's part of a segment goes to the owner in its host. */
  #contribute(strip: Strip, index: number): void {
    const range = strip.segments[index]
    const segment = range && this.#segments.get(range.start)
    if (!segment) return
    const { rank, values } = this.#bucket
    const owner = strip.owners[this.#host] ?? rank
    if (owner !== rank) return this.#send([owner], frameKind.contribution, segment)
    segment.local[(this.#hosts[this.#host] ?? []).indexOf(rank)] = values(segment.range)
    this.#advance(segment)
  }

  /** What an owner can do with the parts that it has. */
  #advance(segment: Segment): void {
    const { strip, local, byHost, range } = segment
    const { sums, values } = this.#bucket
    if (!segment.added) {
      const all = whole(local)
      if (!all) return
      segment.added = true
      sums.inOrder(values(range), all)
      local.length = 0
      if (strip.home !== this.#host) return this.#send([strip.owners[strip.home] ?? 0], frameKind.contribution, segment)
      byHost[this.#host] = values(range)
    }
    const all = strip.home === this.#host ? whole(byHost) : null
    if (!all) return
    sums.inOrder(values(range), all)
    const owners = strip.owners.filter((_, host) => host !== this.#host)
    this.#finish(segment, [...owners, ...this.#others(this.#host)], true)
  }

  /** The result lies in this rank's memory. */
  #finish(segment: Segment, to: readonly number[], fresh = false): void {
    segment.done = true
    segment.byHost.length = 0
    this.#send(to, frameKind.reduced, segment, fresh)
    this.#remaining--
    this.#contribute(segment.strip, segment.index + limits.directWindow)
  }

  #others(host: number): number[] {
    const { rank, worldSize } = this.#bucket
    return ranksBut(rank, worldSize).filter((other) => this.#hostOf[other] === host)
  }

  #send(to: readonly number[], kind: number, { strip, index, range }: Segment, fresh = false): void {
    const at = strip.segments[index % limits.directWindow]?.start ?? 0
    const where = kind === frameKind.reduced ? plane.result : plane.partial
    this.#bucket.send(to, { kind, range, fresh, lane: { plane: where, at } })
  }
}

/** Chunk by chunk, each cut into a strip for every host. */
function stripsOf({ count, segmentElements }: BucketView, hosts: readonly (readonly number[])[]): Strip[] {
  const chunks = Math.max(...hosts.map((ranks) => ranks.length))
  return Array.from({ length: chunks }, (_, chunk) => {
    const { start, end } = chunkOf(chunk, chunks, count)
    const owners = hosts.map((ranks) => ranks[chunk % ranks.length] ?? 0)
    return hosts.map((_, home) => {
      const strip = chunkOf(home, hosts.length, end - start)
      return {
        owners,
        home,
        segments: segmentsOf({ start: start + strip.start, end: start + strip.end }, segmentElements),
      }
    })
  }).flat()
}

/** All of them, once all are there. */
function whole(parts: readonly (Part | undefined)[]): Part[] | null {
  const there = Array.from(parts).flatMap((part) => part ?? [])
  return there.length === parts.length ? there : null
}
