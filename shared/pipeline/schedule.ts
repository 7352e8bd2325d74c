/** What a stage does next, with which micro-batch. */
export interface Operation {
  readonly kind: 'forward' | 'backward'
  readonly microBatch: number
}

/**
 * One stage's operations in a step, by 1F1B: as many forwards as there are stages behind it, then a forward and a backward in
 * turn, then the backwards that are left (Narayanan et al. 2019, section 3.2; with a flush at each step, Narayanan et al. 2021, section
 * 2.2.1). Backwards come in the order of the micro-batches, so at most `stages − stage` of them are open at once.
 */
export function oneForwardOneBackward(stage: number, stages: number, microBatches: number): Operation[] {
  const ahead = Math.min(stages - 1 - stage, microBatches)
  const operations: Operation[] = []
  for (let microBatch = 0; microBatch < ahead; microBatch++) operations.push({ kind: 'forward', microBatch })
  for (let microBatch = 0; microBatch < microBatches; microBatch++) {
    if (ahead + microBatch < microBatches) operations.push({ kind: 'forward', microBatch: ahead + microBatch })
    operations.push({ kind: 'backward', microBatch })
  }
  return operations
}

/** Micro-batches that a stage has open at once, at most. */
export const mostOpen = (stage: number, stages: number): number => stages - stage

/**
 * Part of its time that a stage waits while all stages take equally long: (S − 1) / (M + S − 1) (Huang et al. 2019, section 2.2;
 * Narayanan et al. 2021, section 2.2.1, give it in parts of the ideal time).
 */
export function bubbleShare(stages: number, microBatches: number): number {
  return (stages - 1) / (microBatches + stages - 1)
}
