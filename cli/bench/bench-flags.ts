import type { Options } from 'yargs'
import { usage } from '../../shared/core/config.ts'
import { limits } from '../../shared/core/limits.ts'
import { wholeNumber } from '../values.ts'
import { type PeerLine, runPeer } from './peer.ts'

type Parsed = Readonly<Record<string, unknown>>

export const roundsFlag = { type: 'number', describe: 'rounds of the comparison (default: 5)' } as const
export const jsonLinesFlag = { type: 'boolean', describe: 'print JSON objects, one a line', default: false } as const
export const peerFlags = {
  peer: { type: 'string', describe: 'command of a program to compare with, which prints JSON lines of the same form' },
  rounds: { ...roundsFlag, describe: 'with --peer: rounds, each with both programs (default: 5)' },
  'peer-timeout': { type: 'number', describe: 'with --peer: seconds after which it is stopped', default: 600 },
} as const satisfies Record<string, Options>

export function roundsOf(parsed: Parsed): number {
  return wholeNumber('rounds', parsed.rounds ?? 5, 1, 1000)
}

/** Null where nothing is to be compared. */
export function peerOf(parsed: Parsed, worldSizes: readonly number[]): Peer | null {
  const rounds = roundsOf(parsed)
  const timeoutMs = 1000 * wholeNumber('peer-timeout', parsed.peerTimeout, 1, 86_400)
  if (parsed.peer === undefined) {
    if (parsed.rounds !== undefined) throw usage('--rounds goes with --peer; leave it out')
    return null
  }
  if (worldSizes.length > 1) throw usage(`--workers ${worldSizes.join()} with --peer: write one number of workers`)
  const command = String(parsed.peer)
  const tell = (line: string) => void process.stderr.write(`ringleader: ${line}\n`)
  return { rounds, run: () => runPeer(command, timeoutMs, tell) }
}

export interface Peer {
  readonly rounds: number
  run(): Promise<PeerLine[]>
}

/** Numbers of workers, such as 1,2,4. */
export function worldSizesOf(value: unknown, fewest: number): number[] {
  return String(value)
    .split(',')
    .map((part) => wholeNumber('workers', part === '' ? part : Number(part), fewest, limits.maxLocalWorkers))
}

const millisecondsOf: Readonly<Record<string, number>> = { us: 1e-3, ms: 1, s: 1000 }

/** Milliseconds of a time such as 50us. */
export function timeOf(flag: string, value: unknown): number {
  const match = /^(\d+(?:\.\d+)?)(us|ms|s)$/.exec(String(value))
  const unit = millisecondsOf[match?.[2] ?? '']
  if (match && unit !== undefined) return Number(match[1]) * unit
  throw usage(`--${flag} ${String(value)}: write a time with its unit, such as 50us or 0.2ms`)
}

const bytesPerMsOf: Readonly<Record<string, number>> = { 'MB/s': 1e3, 'GB/s': 1e6, 'Mbit/s': 125, 'Gbit/s': 125e3 }

/** Bytes in a millisecond of a rate such as 1.2GB/s. */
export function rateOf(flag: string, value: unknown): number {
  const match = /^(\d+(?:\.\d+)?)([MG]B\/s|[MG]bit\/s)$/.exec(String(value))
  const rate = Number(match?.[1]) * (bytesPerMsOf[match?.[2] ?? ''] ?? 0)
  if (rate > 0) return rate
  throw usage(`--${flag} ${String(value)}: write bytes or bits a second, such as 1.2GB/s or 10Gbit/s`)
}

export function tellRound(first: string, second: string, rounds: number) {
  return (round: number, firstFirst: boolean): void => {
    const order = firstFirst ? `${first}, then ${second}` : `${second}, then ${first}`
    process.stderr.write(`ringleader: round ${round + 1} of ${rounds}: ${order}\n`)
  }
}
