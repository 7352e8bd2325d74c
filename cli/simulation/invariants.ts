import type { Bits } from './simulated-worker.ts'

const maximumViolations = 20
/** After a fault on it is over, a worker may be lost for so long: it has to be noticed first, and to come back. */
const graceMs = 15_000

/** What must hold at every moment of a run, whatever fails. */
export class Invariants {
  readonly violations: string[] = []
  /** Bits after each step: those of an undisturbed run, or of whoever came first. */
  readonly #bits: Map<string, string>
  /** Last commit of each worker that lives. */
  readonly #holds = new Map<string, number>()
  readonly #exact: boolean
  #newest = 0
  #corrupted = false
  /** Commits of each worker in a generation, since a newer one has committed. */
  readonly #late = new Map<string, number>()
  /** Until when a worker may be lost. */
  readonly #blamed = new Map<string, number>()
  /** Steps that the run went back. */
  rewound = 0

  /** `exact`: a step has the same bits whoever computes it; else those of one generation have. */
  constructor(reference: ReadonlyMap<string, string>, exact = true) {
    this.#bits = new Map(reference)
    this.#exact = exact
  }

  /** By roll-backs, generation where sums are not exact, and step. */
  get bits(): ReadonlyMap<string, string> {
    return this.#bits
  }

  /** Whether these are the bits after a step, with whatever roll-backs. */
  knows(step: number, sha256: string | null): boolean {
    return this.#corrupted || [...this.#bits].some(([key, bits]) => key.endsWith(`/${step}`) && bits === sha256)
  }

  violated(what: string): void {
    if (this.violations.length < maximumViolations) this.violations.push(what)
  }

  /** A process of this name begins, with nothing. */
  started(workerId: string): void {
    this.#holds.delete(workerId)
  }

  /** There is a fault on this worker, for so many seconds. */
  blame(workerId: string, now: number, seconds: number): void {
    this.#blamed.set(workerId, Math.max(this.#blamed.get(workerId) ?? 0, now + seconds * 1000 + graceMs))
  }

  began(workerId: string, generation: number, step: number): void {
    const last = this.#holds.get(workerId)
    if (last !== undefined && step < last)
      this.violated(`${workerId} began step ${step + 1} in generation ${generation}, but had committed ${last}`)
  }

  /** From here on nobody has the bits of an undisturbed run, and workers may be lost for theirs. */
  corrupted(): void {
    this.#corrupted = true
  }

  committed(workerId: string, generation: number, { step, rollbacks, sha256 }: Bits): void {
    this.#holds.set(workerId, step)
    const identity = this.#exact ? `${rollbacks}/${step}` : `${rollbacks}/${generation}/${step}`
    const expected = this.#bits.get(identity)
    if (expected === undefined) this.#bits.set(identity, sha256)
    else if (expected !== sha256 && !this.#corrupted)
      this.violated(`${workerId} has other bits after step ${step}, in generation ${generation}`)
    if (generation >= this.#newest) {
      this.#newest = generation
      return
    }
    // One that had all it needed may commit once more, before it hears that the others have gone on.
    const key = `${workerId}/${generation}`
    const late = (this.#late.get(key) ?? 0) + 1
    this.#late.set(key, late)
    if (late > 1) this.violated(`two groups: ${workerId} goes on in generation ${generation} beside ${this.#newest}`)
  }

  /** What the coordinator tells; `reachable`: workers that it could talk to. */
  incident(reason: string, now: number, reachable: readonly string[]): void {
    const lost = /^(\S+) is lost: (.*)$/.exec(reason)
    // One that never heard of the group that a dead coordinator was forming comes in again at once.
    const unaware = lost?.[2] === 'it is in another generation'
    const diverged = this.#corrupted && lost?.[2]?.endsWith('are not those of the others')
    if (lost?.[1] && !unaware && !diverged && (this.#blamed.get(lost[1]) ?? 0) < now)
      this.violated(`${lost[1]} was lost without a fault, at ${Math.round(now)} ms: ${lost[2]}`)
    const rewound = /^goes on from step (\d+) \((.*)\): (\d+) steps/.exec(reason)
    if (!rewound) return
    const step = Number(rewound[1])
    for (const [workerId, held] of this.#holds) this.#holds.set(workerId, Math.min(held, step))
    if (rewound[2] === 'roll-back') return
    this.rewound += Number(rewound[3])
    const holder = reachable.find((workerId) => (this.#holds.get(workerId) ?? 0) > step)
    if (holder !== undefined)
      this.violated(`went back to step ${step}, though ${holder} held ${this.#holds.get(holder)}`)
  }
}
