import { chooseOnOneHost } from '../shared/collective/algorithm.ts'
import { AllReduceGroup, type AllReduceReport } from '../shared/collective/all-reduce.ts'
import { nodesOfRanks } from '../shared/collective/lanes.ts'
import { reduceMemory } from '../shared/collective/reduce-memory.ts'
import { plane } from '../shared/collective/reduction.ts'
import { RingleaderError } from '../shared/core/errors.ts'
import { limits } from '../shared/core/limits.ts'
import type { Arena, Kernel } from '../shared/kernel/kernel.ts'
import type { HostFiles } from '../shared/protocol/file-lane.ts'
import { type FileMapping, FileWindows } from '../shared/transport/file-windows.ts'
import { Mailbox } from '../shared/transport/mailbox.ts'
import type { FrameHandler } from '../shared/transport/transport.ts'
import { rest } from './patience.ts'
import type { HostBucket } from './step/group.ts'
import type { MemoryRegion } from './step/model-state.ts'
import { counter, type GroupPlan } from './thread-messages.ts'
import { noSegments, type SegmentNotes } from './trace/segment-notes.ts'

/** How files may be mapped, and where in the memory. */
export interface HostWindows {
  readonly mapping: FileMapping
  readonly region: MemoryRegion
}

/** Takes the addresses for them; null: this backend cannot map files. */
export function hostWindows(mapping: FileMapping | null, arena: Arena): HostWindows | null {
  const bytes = limits.hostWindowBytes
  return mapping && { mapping, region: { offset: arena.allocate(bytes), bytes } }
}

export interface HostReductionParts {
  /** Tag of the run (frame.ts). */
  readonly run: bigint
  readonly plan: GroupPlan
  readonly files: HostFiles
  readonly kernel: Kernel
  readonly memory: WebAssembly.Memory
  readonly scratch: MemoryRegion
  /** Left out: files are read and written. */
  readonly windows?: HostWindows | null
  /** Shared with the communication thread, which tells here of an abort and reads how far this end is. */
  readonly counters: Int32Array
  /** Where its frames are noted; left out: nowhere. */
  readonly segments?: SegmentNotes
}

/**
 * Reductions between workers of one host by the main thread itself, which would wait for them anyway: no hop to the
 * communication thread, and no socket. What is computed is the same, bit for bit (docs/adr/0011-mailboxes.md).
 */
export class HostReduction {
  readonly #mailbox: Mailbox
  readonly #group: AllReduceGroup
  readonly #counters: Int32Array
  readonly #generation: number

  /** Null where this generation needs what files do not give, or one of them is gone. */
  static open(parts: HostReductionParts): HostReduction | null {
    const { algorithm, rank } = parts.plan
    if (algorithm !== 'auto' && algorithm !== 'direct') return null
    const { windows, memory } = parts
    const mapped = windows ? new FileWindows(windows.mapping, memory.buffer, windows.region) : null
    const mailbox = Mailbox.open(rank, parts.files, mapped)
    return mailbox && new HostReduction(mailbox, parts)
  }

  private constructor(
    mailbox: Mailbox,
    { run, plan, kernel, memory, scratch, counters, segments = noSegments }: HostReductionParts,
  ) {
    const { generation, rank, peers, lanes } = plan
    this.#mailbox = mailbox
    this.#counters = counters
    this.#generation = generation
    this.#group = new AllReduceGroup({
      ...{ run, generation, rank, worldSize: peers.length, transport: segments.sender(mailbox) },
      memory: reduceMemory(kernel, memory, scratch),
      segmentElements: limits.hostSegmentBytes / 4,
      turns: plane.mainTurns,
      algorithm: (bytes) => chooseOnOneHost(peers.length, bytes),
      ...(lanes === null ? {} : { lanes: nodesOfRanks(lanes) }),
    })
    const frame: FrameHandler = (header, payload) => this.#group.receive(header, payload)
    mailbox.onFrame = (header, payload) => segments.receive(header, payload, frame)
  }

  /** As Link.allReduce; nothing is compressed here. */
  allReduce(...[step, bucket, offsets, count, exact, settled]: HostBucket): Promise<number> {
    const floats = offsets.map((offset) => offset / 4)
    return this.#finish(this.#group.allReduce(step, bucket, floats, count, exact, settled))
  }

  /** As HostGroup.gather. Call the result to wait for it. */
  gather(step: number, bucket: number, offset: number, counts: readonly number[]): () => Promise<number> {
    const begun = this.#group.allGather(step, bucket, offset / 4, counts)
    begun.catch(() => {}) // whoever finishes it hears of it
    return () => this.#finish(begun)
  }

  async #finish(collective: Promise<AllReduceReport>): Promise<number> {
    Atomics.add(this.#counters, counter.entered, 1)
    let over = false
    const reduction = collective.finally(() => {
      over = true
    })
    reduction.catch(() => {}) // awaited below
    await null
    for (let since = performance.now(); !over; ) {
      const aborted = Atomics.load(this.#counters, counter.aborted)
      if (aborted >= this.#generation)
        this.#group.abort(new RingleaderError('collective', 'the group was aborted', { recoverable: true }))
      else if (this.#mailbox.poll()) since = performance.now()
      else await rest(performance.now() - since, this.#counters, counter.aborted, aborted)
      await null // what has been settled goes on
    }
    const { bytes } = await reduction
    Atomics.add(this.#counters, counter.reduced, 1)
    return bytes
  }

  close(): void {
    this.#group.abort(new RingleaderError('collective', 'the group is over', { recoverable: true }))
    this.#mailbox.close()
  }
}
