import { chooseAlgorithm } from '../shared/collective/algorithm.ts'
import { AllReduceGroup } from '../shared/collective/all-reduce.ts'
import { nodesOfRanks } from '../shared/collective/lanes.ts'
import { reduceMemory } from '../shared/collective/reduce-memory.ts'
import { hubOf } from '../shared/collective/star.ts'
import type { AllReduceMemory } from '../shared/collective/sums.ts'
import { unknownTopology } from '../shared/collective/topology.ts'
import { Compression } from '../shared/compression/compression.ts'
import type { ResidualOutcome } from '../shared/compression/residuals.ts'
import type { Clock } from '../shared/core/clock.ts'
import { assert } from '../shared/core/errors.ts'
import { limits } from '../shared/core/limits.ts'
import { loadKernel } from '../shared/kernel/kernel.ts'
import type { StateIdentity } from '../shared/protocol/control.ts'
import {
  decodeFrameHeader,
  encodeFrameHeader,
  type FrameHeader,
  frameKind,
  wholeGroupBucket,
} from '../shared/protocol/frame.ts'
import type { RankReport, Topology } from '../shared/protocol/topology.ts'
import type { ControlClient } from '../shared/transport/control-socket.ts'
import type { FrameHandler, Payload, Transport } from '../shared/transport/transport.ts'
import { HubLink } from './hub-link.ts'
import { LinkProbe } from './link-probe.ts'
import { PeerDelays } from './peer-delays.ts'
import type { Handover } from './pipeline/handover.ts'
import { PipelinePlane } from './pipeline/pipeline-plane.ts'
import { StateTransfer } from './state-transfer.ts'
import type { MemoryRegion } from './step/model-state.ts'
import type { GroupPlan, ToThread } from './thread-messages.ts'
import type { SegmentNotes } from './trace/segment-notes.ts'

export interface DataPlaneParts {
  readonly transport: Transport
  openHub(): ControlClient
  /** Notes frames, where there is a trace. */
  segments(): SegmentNotes
  readonly clock: Clock
  /** All links are there, as far as can be told, and measured. */
  joined(generation: number, report: RankReport): void
  /** The link to a rank; null: that to the hub. */
  lost(rank: number | null): void
}

interface StateMemory {
  readonly memory: WebAssembly.Memory
  readonly regions: readonly MemoryRegion[]
}

/** One worker's ends of the data plane: the group that it is in, over links to its peers or through the hub. */
export class DataPlane {
  run = 0n
  group: AllReduceGroup | null = null
  #state: StateTransfer | null = null
  /** Of another rank's state, on its way into a memory of its own. */
  #guest: StateTransfer | null = null
  #wasm: WebAssembly.Memory | null = null
  #pipeline: PipelinePlane | null = null
  readonly #parts: DataPlaneParts
  readonly #hub: HubLink
  #memory: AllReduceMemory | null = null
  #compression: Compression | null = null
  #plan: GroupPlan | null = null
  #topology: Topology = unknownTopology(1)
  #probe: LinkProbe | null = null
  /** Probes of a generation that this rank has not formed yet. */
  #early: [FrameHeader, Payload][] = []
  readonly #counts = { stale: 0, malformed: 0 }
  readonly delays: PeerDelays

  constructor(parts: DataPlaneParts) {
    this.#parts = parts
    this.delays = new PeerDelays(parts.clock)
    const { transport } = parts
    const handle: FrameHandler = (header, payload) => this.#frame(header, payload)
    const receive: FrameHandler = (header, payload) => parts.segments().receive(header, payload, handle)
    this.#hub = new HubLink(
      () => parts.openHub(),
      receive,
      () => parts.lost(null),
    )
    transport.onFrame(receive)
    transport.onPlace?.((header) => {
      const place = this.#pipeline?.placeOf(header)
      return place === undefined ? (this.group?.placeOf(header) ?? null) : place
    })
    transport.onLost((rank) => {
      if (!this.#plan?.hub) parts.lost(rank)
    })
  }

  useMemory({ memory, regions, sumScratch, compression }: Extract<ToThread, { kind: 'memory' }>): void {
    this.#memory = reduceMemory(loadKernel(memory), memory, sumScratch)
    this.#compression = compression && new Compression(memory, compression)
    this.#wasm = memory
    this.#state = this.#transferOf(memory, regions)
  }

  #transferOf(memory: WebAssembly.Memory, regions: readonly MemoryRegion[]): StateTransfer {
    return new StateTransfer(memory, regions, (rank, kind, segment, payload) =>
      this.#send(rank, kind, segment, payload, null),
    )
  }

  /** Bytes that came. `into`: in place of this rank's own memory. */
  async fetchState(source: number, identity: StateIdentity, into: StateMemory | null): Promise<number> {
    assert(this.#state, 'the memory is there before a state comes')
    if (!into) return this.#state.fetch(source, identity)
    const guest = this.#transferOf(into.memory, into.regions)
    this.#guest = guest
    try {
      return await guest.fetch(source, identity)
    } finally {
      this.#guest = null
    }
  }

  get fetched(): number {
    return (this.#state?.fetched ?? 0) + (this.#guest?.fetched ?? 0)
  }

  /** Who adds up a bucket. */
  groupOf(bucket: number): AllReduceGroup {
    const group = this.#pipeline && bucket < wholeGroupBucket ? this.#pipeline.stage : this.group
    assert(group, 'a group is formed before it reduces')
    return group
  }

  get handover(): Handover {
    assert(this.#pipeline, 'stages hand over in a group of pipelines')
    return this.#pipeline.handover
  }

  get entered(): number {
    return (this.group?.entered ?? 0) + (this.#pipeline?.entered ?? 0)
  }

  get reduced(): number {
    return (this.group?.reduced ?? 0) + (this.#pipeline?.reduced ?? 0)
  }

  /** Of frames that came before this rank has begun what they belong to. */
  get earlyBytes(): number {
    return (this.group?.earlyBytes ?? 0) + (this.#pipeline?.earlyBytes ?? 0)
  }

  /** What becomes of that which compressed gradients have lost since the last time. */
  settle(outcome: ResidualOutcome): void {
    this.#compression?.settle(outcome)
  }

  get generation(): number {
    return this.#plan?.generation ?? 0
  }

  /** −1: in no group. */
  get rank(): number {
    return this.#plan?.rank ?? -1
  }

  get staleFrames(): number {
    return this.#counts.stale + (this.group?.staleFrames ?? 0) + (this.#pipeline?.stage.staleFrames ?? 0)
  }

  get malformedFrames(): number {
    return this.#counts.malformed + (this.group?.malformedFrames ?? 0) + (this.#pipeline?.malformedFrames ?? 0)
  }

  form(plan: GroupPlan): void {
    assert(this.#memory, 'the memory is there before a group is')
    const { generation, rank, peers, stages, algorithm, wire, hub } = plan
    const lanes = stages > 1 ? null : plan.lanes // sums over all ranks of pipelines are those of what is exact
    this.#counts.stale = this.staleFrames
    this.#counts.malformed = this.malformedFrames
    this.#plan = plan
    this.delays.clear()
    const worldSize = peers.length
    this.#topology = unknownTopology(worldSize, hub)
    const { transport } = this.#parts
    const { run } = this
    const onePlace = lanes !== null || this.#compression?.sparse === true
    this.group = new AllReduceGroup({
      ...{ run, generation, rank, worldSize, memory: this.#memory, hub, compression: this.#compression },
      transport: this.#parts.segments().sender(hub ? this.#hub : transport),
      algorithm: (bytes) => chooseAlgorithm({ choice: algorithm, topology: this.#topology, onePlace }, bytes).name,
      hosts: () => this.#topology.hosts,
      arrived: (header) => this.delays.arrived(header),
      ...(lanes === null ? {} : { lanes: nodesOfRanks(lanes) }),
    })
    this.#pipeline =
      stages === 1 || !this.#wasm
        ? null
        : new PipelinePlane({
            ...{ plan, run, wasm: this.#wasm, memory: this.#memory },
            transport: this.#parts.segments().sender(transport),
            topology: () => this.#topology,
            fail: (reason) => this.abort(reason),
          })
    const others = hub ? [] : peers.filter((peer) => peer.rank !== rank)
    transport.connect({ run, generation, rank, peers: others, wire })
    if (hub) return this.#hub.enter({ run, generation, rank, worldSize })
    this.#hub.leave()
    const probe = new LinkProbe(this.#parts.clock, transport, (to, kind, segment, payload, plane) =>
      this.#send(to, kind, segment, payload, plane),
    )
    this.#probe = probe
    for (const [header, payload] of this.#early.splice(0))
      if (header.generation === generation) probe.receive(header, payload)
    void probe.measure(rank, worldSize).then((report) => {
      if (this.#probe === probe) this.#parts.joined(generation, report)
    })
  }

  /** All ranks have got the same. */
  started(generation: number, topology: Topology): void {
    if (generation === this.generation && topology.hosts.length === this.#plan?.peers.length) this.#topology = topology
  }

  abort(reason: string): void {
    const error = new Error(reason)
    for (const part of [this.group, this.#pipeline, this.#state, this.#guest]) part?.abort(error)
  }

  close(): void {
    this.#plan = null
    this.#probe = null
    this.#hub.leave()
    this.#parts.transport.close()
  }

  #frame(headerBytes: Uint8Array, payload: Payload): void {
    const header = decodeFrameHeader(headerBytes)
    if (header?.generation === this.generation && header.run === this.run)
      if (this.#pipeline?.receive(header, headerBytes, payload)) return
    const isProbe = header?.kind === frameKind.probe || header?.kind === frameKind.probeAnswer
    const isState = header?.kind === frameKind.stateRequest || header?.kind === frameKind.statePiece
    if (!header || !(isProbe || isState)) return this.group?.receive(headerBytes, payload)
    const now = header.run === this.run && header.generation === this.generation
    const later = header.run === this.run && header.generation > this.generation
    if (now && header.kind === frameKind.statePiece) (this.#guest ?? this.#state)?.receive(header, payload)
    else if (now && isState) this.#state?.receive(header, payload)
    else if (now) this.#probed(header, payload)
    else if (later && isProbe && this.#early.length < limits.maxWorkers) this.#early.push([header, payload])
    else this.#counts.stale++
  }

  #probed(header: FrameHeader, payload: Payload): void {
    if (!this.#plan?.hub) this.#probe?.receive(header, payload)
    else if (header.sender === hubOf(this.#plan.peers.length))
      this.#parts.joined(this.generation, { sameHost: [], links: [] })
  }

  /** A frame that is no part of a reduction. */
  #send(rank: number, kind: number, segment: number, payload: Uint8Array, plane: number | null): void {
    if (!this.#plan) return
    const header = encodeFrameHeader({
      ...{ kind, run: this.run, generation: this.generation, step: 0, bucket: 0, sender: this.#plan.rank },
      ...{ segment, part: 0, offset: 0, count: payload.byteLength / 4 },
    })
    const place = plane === null ? null : { plane, offset: 0 }
    if (this.#plan.hub) this.#hub.send([rank], header, payload)
    else this.#parts.transport.send([rank], header, payload, place)
  }
}
