import { type Spread, spreadOf } from './spread.ts'

/** One round of a comparison. Ratios are of speed: above 1, the first of the two is the faster one. */
export interface Round {
  readonly first: string
  readonly ratio: number
}

export interface Comparison<Of extends Round> {
  readonly ratio: Spread
  readonly rounds: readonly Of[]
}

/** Measures two things in turn, the one first and the other first alternately, so that a drift of the host hits both. */
export async function alternate<Left, Right>(
  rounds: number,
  left: () => Promise<Left>,
  right: () => Promise<Right>,
  tell: (round: number, leftFirst: boolean) => void,
): Promise<{ leftFirst: boolean; left: Left; right: Right }[]> {
  const results = []
  for (let round = 0; round < rounds; round++) {
    const leftFirst = round % 2 === 0
    tell(round, leftFirst)
    if (leftFirst) results.push({ leftFirst, left: await left(), right: await right() })
    else {
      const other = await right()
      results.push({ leftFirst, left: await left(), right: other })
    }
  }
  return results
}

export function compared<Of extends Round>(rounds: readonly Of[]): Comparison<Of> {
  return { ratio: spreadOf(rounds.map(({ ratio }) => ratio)), rounds }
}

/** min, median, max, and what each round gave; `*`: the second of the two went first. */
export function toldRounds({ ratio, rounds }: Comparison<Round>, first: string): string[] {
  const each = rounds.map((round) => `${round.ratio.toFixed(2)}${round.first === first ? '' : '*'}`)
  return [...[ratio.min, ratio.median, ratio.max].map((value) => value.toFixed(2)), `   ${each.join(' ')}`]
}
