import type { RunConfig } from '../../shared/core/config.ts'
import { assert } from '../../shared/core/errors.ts'
import { dealtLanes, type StepPlan } from '../../shared/core/schedule.ts'
import type { Backend } from '../backend/backend.ts'
import type { Phase } from '../model/model.ts'
import type { Update } from '../optimizer/optimizer.ts'
import type { Crew } from './crew.ts'
import { sumOfProduct, type WideGradient } from './factors.ts'
import type { Group } from './group.ts'
import type { Factored, LaneGradients, Share } from './lane-gradients.ts'
import type { ModelState } from './model-state.ts'
import type { SharedRows } from './shared-rows.ts'
import { addPieces, addTails, sumOfSquares } from './slices.ts'
import type { SampleSource } from './step-inputs.ts'
import type { Stopwatch } from './stopwatch.ts'
import { squaresPart, updatePart } from './update-part.ts'
import { heldTogether, type UpdatePlace, updateTogether } from './update-together.ts'

/** The other threads of a worker, and where they find the samples. */
export interface Mates {
  readonly crew: Crew
  readonly rows: SharedRows
}

/** A kernel on fewer floats is over before another thread has heard of it. */
const sharedFloats = 1 << 16

/** What a rank computes of a step, by all threads that it has. */
export class RankGradients {
  readonly #config: RunConfig
  readonly #state: ModelState
  readonly #backend: Backend
  readonly #lanes: LaneGradients
  readonly #source: SampleSource
  readonly #mates: Mates | null
  /** The sums of squares are there already: what was merged is the whole sum. */
  #squared = false

  constructor(
    config: RunConfig,
    state: ModelState,
    backend: Backend,
    lanes: LaneGradients,
    source: SampleSource,
    mates: Mates | null,
  ) {
    this.#backend = backend
    this.#config = config
    this.#state = state
    this.#lanes = lanes
    this.#source = source
    this.#mates = mates
  }

  /** Before the phases of a step: what they share. */
  async begin(phases: readonly Phase[], plan: StepPlan, group: Group): Promise<void> {
    const share = this.#share(group)
    const own = () => this.#lanes.begin(phases, plan, share)
    if (share.pieces === 1 || phases.every(({ prepare }) => prepare === null)) return own()
    await this.#mates?.crew.run({ kind: 'begin', step: plan.step, ...share }, own)
  }

  end(): void {
    this.#lanes.end()
  }

  /** Its threads can write one gradient, by turns: one does, or two. */
  get joins(): boolean {
    return (this.#mates?.crew.size ?? 1) <= 2
  }

  get hasMates(): boolean {
    return this.#mates !== null
  }

  /** As LaneGradients.compute, of the whole share. */
  async compute(
    phase: Phase,
    index: number,
    plan: StepPlan,
    group: Group,
    watch: Stopwatch,
    ready: (parameter: string) => void,
    factored: Factored | null,
  ): Promise<number> {
    const share = this.#share(group)
    const own = (...told: [typeof ready, Factored | null]) =>
      this.#lanes.compute(phase, index, plan, share, 0, watch, ...told)
    this.#squared = false
    if (share.pieces === 1 || !this.#mates) return own(ready, factored)
    const { crew, rows } = this.#mates
    await rows.fill(this.#source, this.#lanes.samplesOf(phase, plan, share))
    const joins = this.#lanes.joins(phase, plan, share)
    if (joins) this.#state.turns.fill(0)
    const wide = new Map<string, readonly number[]>()
    const command = { kind: 'compute', step: plan.step, phase: index, factors: factored !== null, ...share } as const
    await crew.run(command, async () => {
      await own(() => {}, factored && ((parameter, counts) => wide.set(parameter, counts)))
    })
    for (const [parameter, counts] of wide) {
      const told = Atomics.load(this.#state.turns, this.#state.turnOf(parameter))
      assert(told === share.pieces, `all threads have the factors of ${parameter}`)
      factored?.(parameter, counts)
    }
    const merge = { pieces: share.pieces, squares: group.worldSize === 1 }
    for (const network of joins ? [] : phase.updates) {
      const command = { kind: 'merge', network, ...merge } as const
      await crew.run(command, () => addPieces(this.#state, command, 0, crew.size))
    }
    for (const network of joins ? phase.updates : []) addTails(this.#state, network, share.pieces)
    this.#squared = merge.squares && !joins
    watch.lap('backward')
    return 1
  }

  /**
   * Sum of squares of the reduced gradient of each of these networks. The same bits for any number of threads. `squared`: those of the
   * blocks are there already. `wide`: gradients that are not written.
   */
  async squares(
    networks: readonly string[],
    squared: boolean,
    wide: (network: string) => readonly WideGradient[],
  ): Promise<Map<string, number>> {
    const known = squared || this.#squared
    const squares = new Map<string, number>()
    for (const network of networks) {
      const command = { kind: 'squares', network, known, wide: inOrder(wide(network)) } as const
      const crew = this.#crewFor(network)
      const own = (threads: number) => squaresPart(this.#state, this.#backend, command, 0, threads)
      if (crew && (!known || command.wide.length > 0)) await crew.run(command, () => own(crew.size))
      else own(1)
      const products = command.wide.map((gradient) => sumOfProduct(this.#state, gradient))
      squares.set(
        network,
        products.reduce((sum, product) => sum + product, sumOfSquares(this.#state, network)),
      )
    }
    return squares
  }

  async update(
    name: string,
    update: Update,
    wide: readonly WideGradient[],
    group: Group,
    place: UpdatePlace,
  ): Promise<void> {
    const command = { kind: 'update', update, wide: inOrder(wide) } as const
    const together = wide.length > 0 ? heldTogether(group, name) : null
    if (together) return updateTogether(this.#state, this.#backend, command, together, group, place)
    const crew = this.#crewFor(name)
    const own = (threads: number) => updatePart(this.#state, this.#backend, command, 0, threads)
    if (crew) await crew.run(command, () => own(crew.size))
    else own(1)
  }

  #crewFor(network: string): Crew | null {
    return this.#state.network(network).count >= sharedFloats ? (this.#mates?.crew ?? null) : null
  }

  #share({ rank, deal }: Group): Share {
    const { first, last } = dealtLanes(deal, rank)
    const most = this.#config.reproducible ? 1 : (this.#mates?.crew.size ?? 1)
    // Each thread has all micro-batches to make of its piece: a lane for each of them at least.
    const lanes = Math.floor((last - first) / (this.#config.reproducible ? 1 : this.#config.accumulate))
    return { rank, deal, pieces: Math.max(1, Math.min(most, lanes)) }
  }
}

/** As they lie in the weights; the backward pass makes the last one first. */
function inOrder(wide: readonly WideGradient[]): WideGradient[] {
  return wide.toReversed().map(({ parameter, rows }) => ({ parameter, rows }))
}
