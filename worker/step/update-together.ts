import { RingleaderError } from '../../shared/core/errors.ts'
import { bucketsPerPhase } from '../../shared/protocol/frame.ts'
import type { Backend } from '../backend/backend.ts'
import type { Update } from '../optimizer/optimizer.ts'
import type { WideGradient } from './factors.ts'
import type { Group, HostGroup, StateCopies } from './group.ts'
import type { ModelState } from './model-state.ts'
import type { Stopwatch } from './stopwatch.ts'
import { updatePart } from './update-part.ts'

/** Of the step that takes the update. */
export interface UpdatePlace {
  readonly step: number
  /** Of the phase. */
  readonly index: number
  readonly watch: Stopwatch
}

/** Where ranks hold this network's state together; null: each has its own. */
export function heldTogether({ host }: Group, network: string): (HostGroup & { copies: StateCopies }) | null {
  return host?.copies?.network === network ? { ...host, copies: host.copies } : null
}

/**
 * A network's update, a part of it by each rank, from one copy of its state to the other (worker/host-state.ts). Once its gradient is known the
 * step cannot fail any more, so where the others do not come this rank makes their parts as well.
 */
export async function updateTogether(
  state: ModelState,
  backend: Backend,
  { update, wide }: { readonly update: Update; readonly wide: readonly WideGradient[] },
  { copies, allReduce }: HostGroup & { copies: StateCopies },
  { rank, worldSize }: Group,
  { step, index, watch }: UpdatePlace,
): Promise<void> {
  const command = { update: { ...update, to: copies.to }, wide }
  updatePart(state, backend, command, rank, worldSize)
  watch.lap('optimizer')
  try {
    const number = (index + 1) * bucketsPerPhase - 1 - 2 * state.factors.size // below those of factors
    await allReduce(step, number, [state.meeting], 16, 0)
  } catch (error) {
    if (!(error instanceof RingleaderError && error.code === 'collective')) throw error
    for (let other = 0; other < worldSize; other++)
      if (other !== rank) updatePart(state, backend, command, other, worldSize)
  }
  copies.flip()
  watch.lap('allReduce')
}
