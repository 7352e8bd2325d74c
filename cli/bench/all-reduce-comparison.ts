import { RingleaderError } from '../../shared/core/errors.ts'
import type { AllReduceFigures } from './measure-all-reduce.ts'
import type { PeerLine } from './peer.ts'
import { type Comparison, compared, type Round, toldRounds } from './rounds.ts'
import { sizeName } from './sizes.ts'
import { median, rounded } from './spread.ts'
import { row } from './table.ts'

interface SizeRound extends Round {
  readonly oursMs: number
  readonly peerMs: number
}

/** Ours and the peer's at one size; times and bandwidths are medians over the rounds. */
export interface SizeComparison
  extends Comparison<SizeRound>,
    Pick<AllReduceFigures, 'worldSize' | 'bytes' | 'algorithm' | 'wire' | 'medianMs' | 'busbwGBps'> {
  readonly peer: string
  readonly peerMedianMs: number
  readonly peerBusbwGBps: number
}

interface Measured {
  readonly leftFirst: boolean
  readonly ours: readonly AllReduceFigures[]
  readonly peer: readonly PeerLine[]
}

/** Of all sizes that both have measured. */
export function comparedSizes(rounds: readonly Measured[]): SizeComparison[] {
  const [first] = rounds
  const sizes = first?.ours.map(({ bytes }) => bytes) ?? []
  const common = sizes.filter((bytes) => rounds.every(({ peer }) => peer.some((line) => line.bytes === bytes)))
  if (common.length === 0) throw unlike(`measured none of the sizes ${sizes.map(sizeName).join()}`)
  return common.flatMap((bytes) => comparedSize(bytes, rounds) ?? [])
}

function comparedSize(bytes: number, rounds: readonly Measured[]): SizeComparison | null {
  const pairs = rounds.flatMap(({ leftFirst, ours, peer }) => {
    const [mine, other] = [ours.find((figures) => figures.bytes === bytes), peer.find((line) => line.bytes === bytes)]
    return mine && other ? [{ leftFirst, mine, other }] : []
  })
  const last = pairs.at(-1)
  if (!last) return null
  const { worldSize, algorithm, wire } = last.mine
  const compareRound = ({ leftFirst, mine, other }: (typeof pairs)[number]): SizeRound => {
    if (other.medianMs === undefined) throw unlike(`says no medianMs for ${sizeName(bytes)}`)
    if ((other.worldSize ?? worldSize) !== worldSize)
      throw unlike(`measured a worldSize of ${other.worldSize}, not ${worldSize}; write --workers ${other.worldSize}`)
    const first = leftFirst ? 'ours' : 'peer'
    return { first, oursMs: mine.medianMs, peerMs: other.medianMs, ratio: rounded(other.medianMs / mine.medianMs) }
  }
  const compareds = pairs.map(compareRound)
  const medianMs = median(compareds.map(({ oursMs }) => oursMs))
  const peerMedianMs = median(compareds.map(({ peerMs }) => peerMs))
  const busbw = (ms: number) => rounded((bytes / ms / 1e6) * 2 * (1 - 1 / worldSize))
  return {
    ...{ worldSize, bytes, algorithm, wire, peer: last.other.peer ?? 'peer' },
    ...{ medianMs, peerMedianMs, busbwGBps: busbw(medianMs), peerBusbwGBps: busbw(peerMedianMs) },
    ...compared(compareds),
  }
}

function unlike(what: string): RingleaderError {
  return new RingleaderError('peer', `the peer ${what}`)
}

export function toldSizes(name: string, sizes: readonly SizeComparison[]): string {
  const columns = ['bytes', 'ours µs', 'peer µs', 'ratio min', 'median', 'max', '   each (*: peer first)']
  const lines = sizes.map((size) => {
    const times = [size.medianMs, size.peerMedianMs].map((ms) => (ms * 1000).toFixed(0))
    return row([sizeName(size.bytes), ...times, ...toldRounds(size, 'ours')])
  })
  const about = `${name}, against ${sizes[0]?.peer}; ratio of speed: above 1, ours is faster`
  return `all-reduce, ${about}\n${row(columns)}${lines.join('')}`
}
