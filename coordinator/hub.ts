import { nodesOfRanks } from '../shared/collective/lanes.ts'
import { reduceMemory } from '../shared/collective/reduce-memory.ts'
import { hubOf } from '../shared/collective/star.ts'
import { type AllReduceMemory, type Part, Sums } from '../shared/collective/sums.ts'
import { limits } from '../shared/core/limits.ts'
import type { LaneDeal } from '../shared/core/schedule.ts'
import { Arena, createSharedMemory, loadKernel } from '../shared/kernel/kernel.ts'
import { decodeFrameHeader, encodeFrameHeader, type FrameHeader, frameKind } from '../shared/protocol/frame.ts'
import { decodeTarget } from '../shared/protocol/hub.ts'
import { bytesPayload } from '../shared/transport/transport.ts'

export interface HubGroup {
  readonly run: bigint
  readonly generation: number
  /** By rank. */
  readonly workerIds: readonly string[]
  /** Lanes of each rank, where their sums must not depend on the world size; else null. */
  readonly lanes: LaneDeal | null
}

export interface HubParts {
  send(peer: string, frames: readonly Uint8Array[]): void
  /** A frame that is none, or from somebody who is not in the group. */
  malformed(): void
  /** The group cannot go on. */
  abort(generation: number, reason: string): void
}

interface Segment {
  readonly parts: (Part | undefined)[]
  readonly count: number
  missing: number
}

interface Workbench {
  readonly memory: AllReduceMemory
  /** Room for the sum of a segment. */
  readonly sum: Float32Array
}

const empty = new Uint8Array(0)

/**
 * The middle of a star (shared/collective/star.ts): adds up the segments of all ranks with the SIMD kernels, sends each sum to
 * all, and passes on frames from rank to rank. Parts are kept until a segment has all of them: `limits.hubWindowBytes` of a
 * worker at most. It lives as long as the coordinator; what it had in hand is lost with it, and the step is taken again.
 */
export class Hub {
  readonly #parts: HubParts
  #group: HubGroup | null = null
  #sums: Sums | null = null
  #workbench: Workbench | null = null
  /** Connection of each rank, once it has said that it is there. */
  #peers: (string | undefined)[] = []
  /** By step, bucket and first element. */
  readonly #segments = new Map<string, Segment>()
  #heldBytes = 0

  constructor(parts: HubParts) {
    this.#parts = parts
  }

  /** Null: no group goes this way now. */
  form(group: HubGroup | null): void {
    this.#group = group
    this.#peers = []
    this.#segments.clear()
    this.#heldBytes = 0
    if (!group) return
    this.#workbench ??= makeWorkbench()
    const { workerIds, lanes } = group
    const worldSize = workerIds.length
    const nodes = lanes === null ? null : nodesOfRanks(lanes)
    this.#sums = new Sums(this.#workbench.memory, worldSize, nodes)
  }

  receive(peer: string, workerId: string, [head, payload, to]: readonly Uint8Array[]): void {
    const header = head ? decodeFrameHeader(head) : null
    const group = this.#group
    const target = decodeTarget(to)
    if (!header || !head || !payload || target === null) return this.#parts.malformed()
    if (!group || header.run !== group.run || header.generation !== group.generation) return // of a group that is over
    const hub = hubOf(group.workerIds.length)
    if (group.workerIds[header.sender] !== workerId) return this.#parts.malformed()
    if (header.kind === frameKind.probe) return this.#greet(header, peer, hub)
    if (this.#peers[header.sender] !== peer) return this.#parts.malformed()
    if (target !== hub) {
      const other = this.#peers[target]
      if (other !== undefined) this.#parts.send(other, [head, payload])
      return
    }
    if (header.kind !== frameKind.contribution || payload.byteLength !== header.count * 4)
      return this.#parts.malformed()
    this.#contribute(group, header, bytesPayload(payload))
  }

  #greet({ run, generation, sender }: FrameHeader, peer: string, hub: number): void {
    this.#peers[sender] = peer
    const answer = { kind: frameKind.probeAnswer, run, generation, step: 0, bucket: 0, sender: hub }
    const header = encodeFrameHeader({ ...answer, segment: 0, part: 0, offset: 0, count: 0 })
    this.#parts.send(peer, [header, empty])
  }

  #contribute(group: HubGroup, header: FrameHeader, payload: Part & { byteLength: number }): void {
    const { step, bucket, sender, part, offset, count } = header
    const { malformed, abort } = this.#parts
    const [sums, workbench] = [this.#sums, this.#workbench]
    const place = sums?.placeOf(sender, part) ?? null
    if (!sums || !workbench || place === null || count === 0 || count > workbench.sum.length) return malformed()
    const key = `${step}/${bucket}/${offset}`
    const parts = new Array<Part | undefined>(sums.parts)
    const segment = this.#segments.get(key) ?? { parts, count, missing: sums.parts }
    if (segment.count !== count)
      return abort(group.generation, `rank ${sender} cut bucket ${bucket} of step ${step} otherwise`)
    if (segment.parts[place]) return malformed()
    this.#heldBytes += payload.byteLength
    if (this.#heldBytes > limits.hubWindowBytes * group.workerIds.length)
      return abort(group.generation, 'the ranks sent more to the hub than it holds')
    this.#segments.set(key, segment)
    segment.parts[place] = payload
    if (--segment.missing > 0) return
    this.#segments.delete(key)
    this.#heldBytes -= sums.parts * payload.byteLength
    const sum = workbench.sum.subarray(0, count)
    sums.sum(
      sum,
      segment.parts.flatMap((there) => there ?? []),
    )
    const hub = hubOf(group.workerIds.length)
    const head = encodeFrameHeader({ ...header, kind: frameKind.reduced, sender: hub, part: 0 })
    // One copy for all: it is read after this returns, and nobody writes to it.
    const body = Buffer.from(sum.slice().buffer)
    for (const peer of this.#peers) if (peer !== undefined) this.#parts.send(peer, [head, body])
  }
}

function makeWorkbench(): Workbench {
  const memory = createSharedMemory(limits.sumScratchBytes + limits.segmentBytes)
  const arena = new Arena(memory)
  const scratch = { offset: arena.allocate(limits.sumScratchBytes), bytes: limits.sumScratchBytes }
  const sum = arena.floats(arena.allocate(limits.segmentBytes), limits.segmentBytes / 4)
  return { memory: reduceMemory(loadKernel(memory), memory, scratch), sum }
}
