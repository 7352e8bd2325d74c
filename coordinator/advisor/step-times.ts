import { lowerQuantile } from '../../shared/core/lower-quantile.ts'
import type { Layout } from './layout.ts'

/** The first steps in a group compile kernels and fetch data. */
const warmUpSteps = 10
const blockSteps = 8
const keptBlocks = 64
const keptLayouts = 16

/** Times of a step, in milliseconds. */
export interface StepTime {
  readonly stepMs: number
  /** Of it, in collectives. */
  readonly waitMs: number
}

/** What a group of one layout took: medians over blocks of steps, and the quartiles of the steps' time. */
export interface SeenGroup extends StepTime {
  readonly layout: Layout
  readonly steps: number
  readonly lowMs: number
  readonly highMs: number
  readonly imagesPerStep: number
}

interface Block {
  steps: number
  stepMs: number
  waitMs: number
}

interface Group {
  readonly layout: Layout
  readonly blocks: Block[]
  steps: number
  images: number
}

/** How long steps took, by the layout of the group that took them. The last groups count, and the last 512 steps of each. Pure. */
export class StepTimes {
  /** By layout; the one that was used last is the last. */
  readonly #groups = new Map<string, Group>()
  #now: Group | null = null
  #warmUp = 0

  formed(layout: Layout): void {
    const key = keyOf(layout)
    this.#now = this.#groups.get(key) ?? { layout, blocks: [], steps: 0, images: 0 }
    this.#groups.delete(key)
    this.#groups.set(key, this.#now)
    const [oldest] = this.#groups.keys()
    if (oldest !== undefined && this.#groups.size > keptLayouts) this.#groups.delete(oldest)
    this.#warmUp = warmUpSteps
  }

  /** The layout of the group that steps now; null: there was none. */
  get layout(): Layout | null {
    return this.#now?.layout ?? null
  }

  step({ stepMs, waitMs }: StepTime, images: number): void {
    if (this.#warmUp > 0) this.#warmUp--
    else if (this.#now) {
      const { blocks } = this.#now
      this.#now.steps++
      this.#now.images += images
      const last = blocks.at(-1)
      if (last && last.steps < blockSteps) add(last, stepMs, waitMs)
      else blocks.push({ steps: 1, stepMs, waitMs })
      if (blocks.length > keptBlocks) blocks.shift()
    }
  }

  /** Those of which something is known. */
  get seen(): SeenGroup[] {
    return [...this.#groups.values()].flatMap(({ layout, blocks, steps, images }) => {
      const whole = blocks.filter((block) => block.steps === blockSteps)
      if (whole.length === 0) return []
      const at = (part: number, value: (block: Block) => number) =>
        lowerQuantile(
          whole.map((block) => value(block) / block.steps),
          part,
        )
      const stepMs = at(0.5, (block) => block.stepMs)
      const times = {
        stepMs,
        waitMs: Math.min(
          stepMs,
          at(0.5, (block) => block.waitMs),
        ),
      }
      const spread = { lowMs: at(0.25, (block) => block.stepMs), highMs: at(0.75, (block) => block.stepMs) }
      return [{ layout, steps, ...times, ...spread, imagesPerStep: images / steps }]
    })
  }
}

function add(block: Block, stepMs: number, waitMs: number): void {
  block.steps++
  block.stepMs += stepMs
  block.waitMs += waitMs
}

/** Which rank sits where does not matter. */
function keyOf({ seats, topology: { hosts, hub } }: Layout): string {
  const places = seats.map(({ host, cores, threads }, rank) => [host, cores, threads, hosts[rank]].join()).sort()
  return [hub, ...places].join(';')
}
