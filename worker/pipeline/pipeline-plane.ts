import { chooseAlgorithm } from '../../shared/collective/algorithm.ts'
import { AllReduceGroup, type AllReduceOptions } from '../../shared/collective/all-reduce.ts'
import { nodesOfRanks } from '../../shared/collective/lanes.ts'
import { Subgroup } from '../../shared/collective/subgroup.ts'
import { placeOfRank, ranksOfStage } from '../../shared/pipeline/ranks.ts'
import {
  decodeFrameHeader,
  encodeFrameHeader,
  type FrameHeader,
  frameKind,
  wholeGroupBucket,
} from '../../shared/protocol/frame.ts'
import type { Topology } from '../../shared/protocol/topology.ts'
import type { Payload, Transport } from '../../shared/transport/transport.ts'
import type { GroupPlan } from '../thread-messages.ts'
import { Handover } from './handover.ts'

interface Parts {
  readonly plan: GroupPlan
  readonly run: bigint
  readonly wasm: WebAssembly.Memory
  readonly memory: AllReduceOptions['memory']
  readonly transport: Pick<Transport, 'send' | 'left' | 'halt'>
  topology(): Topology
  fail(reason: string): void
}

/** What a group of pipelines has besides the collectives over all of its ranks: those of a stage, and what its stages hand over. */
export class PipelinePlane {
  /** The ranks that hold this rank's stage. */
  readonly stage: AllReduceGroup
  readonly handover: Handover
  readonly #subgroup: Subgroup

  constructor({ plan, run, wasm, memory, transport, topology, fail }: Parts) {
    const { generation, rank, peers, lanes, stages, algorithm } = plan
    const place = placeOfRank(rank, peers.length, stages)
    const ranks = ranksOfStage(place)
    this.#subgroup = new Subgroup(ranks, transport)
    const onePlace = lanes !== null
    const ofStage = (): Topology => ({ ...topology(), hosts: ranks.map((each) => topology().hosts[each] ?? each) })
    this.stage = new AllReduceGroup({
      ...{ run, generation, rank: place.replica, worldSize: place.replicas, memory },
      transport: this.#subgroup.sender,
      algorithm: (bytes) => chooseAlgorithm({ choice: algorithm, topology: ofStage(), onePlace }, bytes).name,
      hosts: () => ofStage().hosts,
      ...(lanes === null ? {} : { lanes: nodesOfRanks(lanes) }),
    })
    const send: ConstructorParameters<typeof Handover>[1] = (to, header, bytes) =>
      transport.send(
        [to],
        encodeFrameHeader({ ...{ run, generation, sender: rank, segment: 0, part: 0 }, ...header }),
        bytes,
        null,
      )
    this.handover = new Handover(wasm, send, fail)
  }

  get earlyBytes(): number {
    return this.stage.earlyBytes + this.handover.earlyBytes
  }

  get entered(): number {
    return this.stage.entered + this.handover.entered
  }

  get reduced(): number {
    return this.stage.reduced + this.handover.taken
  }

  get malformedFrames(): number {
    return this.stage.malformedFrames + this.handover.malformedFrames
  }

  /** True where the frame is for this, and not for all ranks of the group. */
  receive(header: FrameHeader, headerBytes: Uint8Array, payload: Payload): boolean {
    if (isParcel(header)) {
      this.handover.receive(header, payload)
      return true
    }
    if (!isReduced(header) || header.bucket >= wholeGroupBucket) return false
    const inside = this.#subgroup.inside(headerBytes)
    if (inside) this.stage.receive(inside, payload)
    return true
  }

  /** As AllReduceGroup.placeOf; undefined: it is a frame for all ranks of the group. */
  placeOf(headerBytes: Uint8Array): Uint8Array | null | undefined {
    const header = decodeFrameHeader(headerBytes)
    if (!header || !isReduced(header) || header.bucket >= wholeGroupBucket) return undefined
    const inside = this.#subgroup.inside(headerBytes)
    return inside && this.stage.placeOf(inside)
  }

  abort(error: Error): void {
    this.stage.abort(error)
    this.handover.abort(error)
  }
}

const isParcel = ({ kind }: FrameHeader): boolean =>
  kind === frameKind.activation || kind === frameKind.activationGradient

const isReduced = ({ kind }: FrameHeader): boolean => kind === frameKind.contribution || kind === frameKind.reduced
