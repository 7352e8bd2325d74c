import { assert, RingleaderError } from '../../shared/core/errors.ts'
import type { PeerLine } from './peer.ts'
import { type Comparison, compared, type Round, toldRounds } from './rounds.ts'
import { median, quantile, rounded } from './spread.ts'
import { type StepFigures, toldFigures } from './step-figures.ts'
import { row } from './table.ts'

interface StepRound extends Round {
  readonly oursImagesPerSecond: number
  readonly peerImagesPerSecond: number
  readonly oursIterationMs: number
  readonly peerIterationMs: number | null
}

/** Our figures of the round with our median rate, and the peer's median rate. */
export interface StepComparison extends StepFigures, Comparison<StepRound> {
  readonly peer: string
  readonly peerImagesPerSecond: number
}

interface Measured {
  readonly leftFirst: boolean
  readonly ours: StepFigures
  readonly peer: readonly PeerLine[]
}

export function comparedSteps(measured: readonly Measured[]): StepComparison {
  const rounds = measured.map(comparedRound)
  const middle = quantile(
    rounds.map(({ oursImagesPerSecond }) => oursImagesPerSecond),
    0.5,
  )
  const typical = measured.find(({ ours }) => ours.imagesPerSecond === middle)
  assert(typical, 'there is a round at least')
  return {
    ...typical.ours,
    peer: typical.peer[0]?.peer ?? 'peer',
    peerImagesPerSecond: median(rounds.map(({ peerImagesPerSecond }) => peerImagesPerSecond)),
    ...compared(rounds),
  }
}

function comparedRound({ leftFirst, ours, peer }: Measured): StepRound {
  const line = peer.find(({ imagesPerSecond }) => imagesPerSecond !== undefined)
  if (line?.imagesPerSecond === undefined) throw unlike('says no imagesPerSecond')
  for (const field of ['model', 'math', 'worldSize', 'globalBatch'] as const)
    if (line[field] !== undefined && line[field] !== ours[field])
      throw unlike(`measured ${field} ${String(line[field])}, not ${ours[field]}; let both do the same`)
  return {
    first: leftFirst ? 'ours' : 'peer',
    ratio: rounded(ours.imagesPerSecond / line.imagesPerSecond),
    ...{ oursImagesPerSecond: ours.imagesPerSecond, peerImagesPerSecond: line.imagesPerSecond },
    ...{ oursIterationMs: ours.iterationMs, peerIterationMs: line.iterationMs ?? null },
  }
}

function unlike(what: string): RingleaderError {
  return new RingleaderError('peer', `the peer ${what}`)
}

export function toldSteps(comparison: StepComparison, threads: number): string {
  const { imagesPerSecond, peerImagesPerSecond, peer } = comparison
  const rates = [imagesPerSecond, peerImagesPerSecond].map((rate) => Math.round(rate))
  const columns = ['ours', 'peer', 'ratio min', 'median', 'max', '   each (*: peer first)']
  return [
    toldFigures(comparison, threads),
    `images/s against ${peer}; ratio of speed: above 1, ours is faster\n`,
    row(columns),
    row([...rates, ...toldRounds(comparison, 'ours')]),
  ].join('')
}
