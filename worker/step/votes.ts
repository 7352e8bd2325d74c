import { tail } from './model-state.ts'

/** What a rank asks the others to do after this step, and what it can do; in a result, what all have agreed on. */
export interface Votes {
  /** One rank is enough. */
  readonly stop: boolean
  readonly pause: boolean
  readonly checkpoint: boolean
  /** All have to say so. This end could reduce in its main thread: all ranks are on its host. */
  readonly host: boolean
  /** There is a core beside that of each rank. */
  readonly spare: boolean
  /** This rank can make its part of wide gradients out of all ranks' factors. */
  readonly factors: boolean
  /** It has mapped the copies of a network's state that the ranks of a host hold together. */
  readonly copies: boolean
}

const ofAny = { stop: tail.stopVote, pause: tail.pauseVote, checkpoint: tail.checkpointVote } as const
const ofAll = {
  host: tail.hostVote,
  spare: tail.spareVote,
  factors: tail.factorsVote,
  copies: tail.copiesVote,
} as const

const names = <Name extends string>(places: Record<Name, number>) => Object.entries(places) as [Name, number][]

export function castVotes(tails: Float32Array, votes: Votes): void {
  for (const [name, place] of names({ ...ofAny, ...ofAll })) tails[place] = votes[name] ? 1 : 0
}

/** The same on every rank, by the sums of all ranks' votes. */
export function agreedOn(tails: Float32Array, worldSize: number): Votes {
  const asked = names(ofAny).map(([name, place]) => [name, (tails[place] ?? 0) > 0])
  const able = names(ofAll).map(([name, place]) => [name, tails[place] === worldSize])
  return Object.fromEntries([...asked, ...able])
}
