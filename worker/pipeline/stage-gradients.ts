import { type LaneNode, mergeHalves } from '../../shared/collective/lanes.ts'
import type { Evaluation, GradientTarget, Tensor } from '../backend/backend.ts'
import type { Stopwatch } from '../step/stopwatch.ts'
import type { MicroBatch, StageParts } from './stage-run.ts'

/** What goes in, and where its gradient goes. */
interface Input {
  readonly x: Float32Array
  readonly dx: Float32Array
}

/** Gradients of some networks of a stage, micro-batch by micro-batch, added up in the flat buffer as a plain run adds them. */
export class StageGradients {
  readonly #parts: Pick<StageParts, 'config' | 'state' | 'backend' | 'bound'>
  readonly #networks: readonly string[]
  readonly #watch: Stopwatch
  /** Subtrees of the lane tree that are added up, in order; in a run that is not reproducible one sum. */
  readonly #sums: LaneNode[] = []

  constructor(
    parts: Pick<StageParts, 'config' | 'state' | 'backend' | 'bound'>,
    networks: readonly string[],
    watch: Stopwatch,
  ) {
    this.#parts = parts
    this.#networks = networks.filter((name) => parts.state.networks.has(name))
    this.#watch = watch
  }

  /** In how many partial sums the gradients lie. */
  get sums(): number {
    return this.#sums.length
  }

  /** Adds those of one micro-batch; its scalars. `evaluate` gets the input as a tensor. */
  async add(
    { lanes, rows }: MicroBatch,
    input: Input | null,
    evaluate: (x: Tensor | null) => Evaluation,
  ): Promise<Record<string, number>> {
    const { config, state, backend, bound } = this.#parts
    const part = this.#sums.length === 0 || config.reproducible ? this.#sums.length : 1
    const held = input && backend.hold(() => backend.ops.input(input.x, [rows, input.x.length / rows]))
    const targets: GradientTarget[] = state.slots.flatMap(({ network, role, name, gradients }) => {
      const [parameter, gradient] = [bound.tensors.get(name), gradients[part]]
      const wanted = this.#networks.includes(network) && role !== 'singularVector'
      return wanted && parameter && gradient ? [{ parameter, gradient }] : []
    })
    if (held && input) targets.push({ parameter: held.tensor, gradient: input.dx })
    const scalars = await backend.gradients(() => {
      const evaluation = evaluate(held?.tensor ?? null)
      this.#watch.lap('forward')
      return evaluation
    }, targets)
    held?.release()
    this.#watch.lap('backward')
    this.#sum(lanes, part, true)
    return scalars
  }

  /** Those of a micro-batch without rows. */
  addNothing({ lanes }: MicroBatch): void {
    const { config, state } = this.#parts
    const part = this.#sums.length === 0 || config.reproducible ? this.#sums.length : 1
    for (const { gradients, count } of this.#own()) state.floats(gradients[part] ?? 0, count).fill(0)
    this.#sum(lanes, part, false)
  }

  #sum(lanes: MicroBatch['lanes'], part: number, some: boolean): void {
    const { config, state } = this.#parts
    const add = (into: number, from: number) => {
      for (const { gradients, count } of this.#own())
        state.kernel.add(gradients[into] ?? 0, gradients[from] ?? 0, count)
    }
    if (config.reproducible) {
      this.#sums.push({ first: lanes.first, lanes: lanes.last - lanes.first })
      mergeHalves(this.#sums, add)
    } else if (part === 0) this.#sums.push({ first: lanes.first, lanes: lanes.last - lanes.first })
    else if (some) add(0, part)
  }

  #own() {
    return this.#networks.map((name) => this.#parts.state.network(name))
  }
}
