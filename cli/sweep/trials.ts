import { assert } from '../../shared/core/errors.ts'
import { draws, permutation, randomStream } from '../../shared/core/random.ts'
import { isRange, type OptionValue, type Range, type SweepFile } from './sweep-file.ts'

/** Values of the searched options, by name. */
export type TrialValues = Readonly<Record<string, OptionValue>>

/** Draws of a trial that was drawn before, until it is let be. */
const maxRepetitions = 100

/**
 * The trials of a sweep, a pure function of its file. Those of a random search with fewer trials are the first of one with
 * more, so that a sweep can be made longer. `null`: there are more than `most`, or not so many different ones.
 */
export function trialsOf(sweep: SweepFile, most: number): readonly TrialValues[] | null {
  const { search, method, trials, seed } = sweep
  const spaces = Object.values(search)
  const ranges = spaces.filter(isRange).length
  if (method === 'random' && ranges > 0) return drawn(sweep, trials ?? 0)
  const count = spaces.reduce((product, space) => product * (isRange(space) ? 1 : space.length), 1)
  if (method === 'grid')
    return count > most ? null : Array.from({ length: count }, (_, index) => gridPoint(sweep, index))
  const wanted = trials ?? 0
  if (wanted > count) return null
  // A permutation of a large grid costs memory, and its first points are different anyway but for rare repetitions.
  if (count > 1_000_000) return drawn(sweep, wanted)
  return [...permutation(seed, 0, count, randomStream.sweep).subarray(0, wanted)].map((index) =>
    gridPoint(sweep, index),
  )
}

/** The last option changes fastest. */
function gridPoint({ search }: SweepFile, index: number): TrialValues {
  let rest = index
  const entries = Object.entries(search)
    .reverse()
    .map(([flag, space]): [string, OptionValue] => {
      assert(!isRange(space), 'a grid has lists alone')
      const value = space[rest % space.length]
      rest = Math.floor(rest / space.length)
      assert(value !== undefined, 'an index below the length')
      return [flag, value]
    })
  return Object.fromEntries(entries.reverse())
}

function drawn({ search, seed }: SweepFile, wanted: number): TrialValues[] | null {
  const next = draws(seed, randomStream.sweep, 1)
  const fraction = () => next() / 2 ** 32
  const seen = new Set<string>()
  const all: TrialValues[] = []
  for (let repetitions = 0; all.length < wanted; ) {
    const values = Object.fromEntries(
      Object.entries(search).map(([flag, space]): [string, OptionValue] => [
        flag,
        isRange(space) ? inRange(space, fraction()) : (space[Math.floor(fraction() * space.length)] ?? 0),
      ]),
    )
    const key = JSON.stringify(values)
    if (!seen.has(key)) {
      seen.add(key)
      all.push(values)
      repetitions = 0
    } else if (++repetitions === maxRepetitions) return null
  }
  return all
}

/** At a fraction in [0, 1) of a range; four digits, so that a table can be read and a trial repeated by hand. */
export function inRange({ from, to, scale, whole }: Range, fraction: number): number {
  const last = whole ? to + 1 : to
  const value =
    scale === 'log'
      ? Math.exp(Math.log(from) + fraction * (Math.log(last) - Math.log(from)))
      : from + fraction * (last - from)
  return Math.min(to, Math.max(from, whole ? Math.floor(value) : Number(value.toPrecision(4))))
}
