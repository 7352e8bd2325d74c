import { dealtLanes, type LaneDeal } from '../core/schedule.ts'

/** A subtree of the fixed binary tree over the lanes: lanes [first, first + lanes), `lanes` a power of two that divides `first`. */
export interface LaneNode {
  readonly first: number
  readonly lanes: number
}

/**
 * Merges the last two nodes of a stack while they are the two halves of one node; `add` gets their positions. Pushing lane
 * after lane and merging adds up a contiguous range in the order of the tree: ((l0 + l1) + (l2 + l3)) + …, however the
 * lanes are shared out, because a sum is only ever made of two halves of one node.
 */
export function mergeHalves(stack: LaneNode[], add: (into: number, from: number) => void): void {
  for (;;) {
    const upper = stack.at(-1)
    const lower = stack.at(-2)
    if (!upper || !lower || lower.lanes !== upper.lanes || lower.first % (2 * lower.lanes) !== 0) return
    add(stack.length - 2, stack.length - 1)
    stack.splice(-2, 2, { first: lower.first, lanes: 2 * lower.lanes })
  }
}

/** The fewest nodes that make up lanes [first, last), in order: the partial sums that a rank has to offer. */
export function nodesOf(first: number, last: number): LaneNode[] {
  const stack: LaneNode[] = []
  for (let lane = first; lane < last; lane++) {
    stack.push({ first: lane, lanes: 1 })
    mergeHalves(stack, () => {})
  }
  return stack
}

/** Subtrees of the lane tree that each rank offers. */
export function nodesOfRanks(deal: LaneDeal): LaneNode[][] {
  return deal.map((_, rank) => {
    const { first, last } = dealtLanes(deal, rank)
    return nodesOf(first, last)
  })
}

/** Partial sums that lie beside each other at most, while a range of `lanes` lanes is added up. */
export function maximumNodes(lanes: number): number {
  return 2 * Math.ceil(Math.log2(Math.max(2, lanes))) + 1
}
