/** What kept a worker from computing, in seconds of a step. */
export interface StepLoad {
  /** Its process was stopped. */
  readonly stoppedSeconds: number
  /** It could run, and something else had the core. */
  readonly delayedSeconds: number
  readonly gcSeconds: number
  /** For samples. */
  readonly inputSeconds: number
}

export const slowCauses = ['stopped process', 'other load', 'garbage collection', 'data', 'network', 'compute'] as const
export type SlowCause = (typeof slowCauses)[number]

const figures: readonly (readonly [SlowCause, keyof StepLoad])[] = [
  ['stopped process', 'stoppedSeconds'],
  ['other load', 'delayedSeconds'],
  ['garbage collection', 'gcSeconds'],
  ['data', 'inputSeconds'],
]

export const noLoad: StepLoad = { stoppedSeconds: 0, delayedSeconds: 0, gcSeconds: 0, inputSeconds: 0 }

/**
 * Why a worker takes `extraSeconds` more for a step than the others do: what explains the most of it, where that is half of it
 * at least. What the others have of it too makes nobody slow. None of them: it computes for longer. Pure.
 */
export function slowCause(own: StepLoad, usual: StepLoad, extraSeconds: number): SlowCause {
  let found: SlowCause = 'compute'
  let most = extraSeconds / 2
  for (const [cause, figure] of figures) {
    const excess = own[figure] - usual[figure]
    if (excess <= most) continue
    found = cause
    most = excess
  }
  return found
}

/** Of `count` values, each with this weight. */
export function smoothedLoad(before: StepLoad | undefined, now: StepLoad, weight: number, count: number): StepLoad {
  if (!before) return now
  const share = 1 - (1 - weight) ** count
  const mixed = (figure: keyof StepLoad) => before[figure] + share * (now[figure] - before[figure])
  return {
    stoppedSeconds: mixed('stoppedSeconds'),
    delayedSeconds: mixed('delayedSeconds'),
    gcSeconds: mixed('gcSeconds'),
    inputSeconds: mixed('inputSeconds'),
  }
}
