import { runTag } from '../shared/protocol/frame.ts'
import { HostReduction } from './host-reduction.ts'
import { HostState } from './host-state.ts'
import type { Link } from './link.ts'
import type { HostGroup } from './step/group.ts'
import type { GroupPlan } from './thread-messages.ts'
import type { Notes } from './trace/notes.ts'
import type { Workshop } from './workshop.ts'

/** What a worker has of a generation whose ranks are all on its host: opened on the way, closed with the generation. */
export class HostSide {
  readonly #link: Link
  readonly #workshop: Workshop
  readonly #plan: GroupPlan
  readonly #notes: Notes
  /** Undefined: all ranks are not known to be on this host. */
  #reduction: HostReduction | null | undefined
  /** Undefined: main threads do not make wide gradients of their factors yet. */
  #copies: HostState | null | undefined

  constructor(link: Link, workshop: Workshop, plan: GroupPlan, notes: Notes) {
    this.#link = link
    this.#workshop = workshop
    this.#plan = plan
    this.#notes = notes
  }

  /** Null where this rank cannot reduce in its main thread, or not yet. */
  reduction(): HostReduction | null {
    const files = this.#reduction === undefined ? this.#link.host(this.#plan.generation) : null
    if (files) {
      const { state, welcome, windows } = this.#workshop
      const { kernel, memory, ownSumScratch: scratch } = state
      this.#reduction = HostReduction.open({
        ...{ run: runTag(welcome.runId), plan: this.#plan, files, windows },
        ...{ kernel, memory, scratch, counters: this.#link.counters, segments: this.#notes.segments },
      })
    }
    return this.#reduction ?? null
  }

  /** What the ranks hold together; null where it cannot be mapped, or is not wanted yet. */
  copies(host: HostGroup | null): HostState | null {
    const { state, copies } = this.#workshop
    if (copies && host?.factors && !host.overlaps && this.#copies === undefined) {
      const files = this.#link.host(this.#plan.generation)
      this.#copies = files && HostState.open(state, copies, this.#plan.rank, files)
    }
    return this.#copies ?? null
  }

  /** The state is in this worker's own memory after this. */
  close(): void {
    this.#reduction?.close()
    if (!this.#copies) return
    this.#copies.close()
    this.#workshop.trainer.refresh()
  }
}
