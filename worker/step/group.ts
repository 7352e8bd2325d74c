import type { Settled } from '../../shared/collective/reduction.ts'
import type { LaneDeal } from '../../shared/core/schedule.ts'
import type { PipelinePlace } from '../../shared/pipeline/ranks.ts'
import type { Parcel } from '../pipeline/handover.ts'

export type HostBucket = [...Parameters<Group['allReduce']>, settled?: Settled]

/** Two copies of a network's weights and moments (worker/host-state.ts). */
export interface StateCopies {
  readonly network: string
  /** Bytes from the state that counts to where the next one goes. */
  readonly to: number
  /** All parts of the next state are there: it counts. */
  flip(): void
}

/** Reductions by the main thread itself, in the order of the calls; the same ones on all ranks. */
export interface HostGroup {
  /** `settled`: told of floats of the bucket that are final, as soon as they are. */
  allReduce(...bucket: HostBucket): Promise<number>
  /**
   * Brings parts of all ranks together, which lie behind each other from this byte offset on, in rank order, of so many floats each; each
   * rank has made its own. They leave at once; call the result to wait for the others', and to hear of the bytes sent.
   */
  gather(step: number, bucket: number, offset: number, counts: readonly number[]): () => Promise<number>
  /** Each rank has a core to spare, on which the communication thread reduces what is ready during the backward pass. */
  readonly overlaps: boolean
  /** Every rank can make wide gradients out of all ranks' factors (factors.ts). */
  readonly factors: boolean
  /** Where the ranks hold weights and moments of a network together, so that each updates a part of them. */
  readonly copies: StateCopies | null
}

/** The stages beside a rank of a pipeline (docs/pipeline.md). */
export interface PipelineGroup {
  readonly place: PipelinePlace
  /** Hands floats of the shared memory to a rank; settles once they may be written over. */
  give(rank: number, parcel: Parcel): Promise<number>
  /** Settles once what that rank gives lies at its place. Rejects once aborted. */
  take(rank: number, parcel: Parcel): Promise<number>
}

/** What a step needs from the other ranks. */
export interface Group {
  readonly generation: number
  readonly rank: number
  readonly worldSize: number
  /** Lanes of each rank; of each pipeline, where there are stages. */
  readonly deal: LaneDeal
  /**
   * Adds `count` floats, each rank's partial sums at these byte offsets of the shared memory, over all ranks into the first;
   * the first `exact` of them travel uncompressed. Returns the bytes sent. Rejects once aborted.
   */
  allReduce(step: number, bucket: number, offsets: readonly number[], count: number, exact: number): Promise<number>
  /** Each step ends with it: what its compressed gradients have lost is kept with a commit, else as before the step. */
  settle(outcome: 'keep' | 'restore'): void
  /** Set where all ranks are on one host and have agreed to reduce in their main threads (host-reduction.ts). */
  readonly host: HostGroup | null
  /** Set in a group of pipelines: buckets below `wholeGroupBucket` (frame.ts) are then added over the ranks of the same stage. */
  readonly pipeline?: PipelineGroup
}
