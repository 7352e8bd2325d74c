import { RingleaderError } from '../../shared/core/errors.ts'
import { AllReduceGroup } from './all-reduce-group.ts'
import type { ReducingThread } from './all-reduce-messages.ts'
import type { BenchHosts } from './bench-hosts.ts'
import type { CollectiveOptions } from './collective-options.ts'
import { sizeName } from './sizes.ts'
import { median, quantile, rounded } from './spread.ts'

/** Of one size; times are those of rank 0, as the peers tell theirs. */
export interface AllReduceFigures extends CollectiveOptions {
  readonly worldSize: number
  readonly by: ReducingThread
  readonly bytes: number
  /** Payload bytes that rank 0 sends in one reduction. */
  readonly sentBytes: number
  readonly iterations: number
  readonly medianMs: number
  readonly minMs: number
  readonly p99Ms: number
  /** Median over the iterations of the time that the slowest rank took. */
  readonly slowestRankMs: number
  /** As nccl-tests define them: bytes / seconds, and that times 2 (n − 1) / n. */
  readonly algbwGBps: number
  readonly busbwGBps: number
}

export interface AllReduceSettings {
  readonly hosts: BenchHosts
  readonly workers: number
  readonly sizes: readonly number[]
  /** Null: as many as the size allows. */
  readonly iterations: number | null
  readonly collective: CollectiveOptions
}

/** Bytes that are reduced for each size, where the number of iterations is open. */
const bytesPerSize = 512 << 20
const fewest = 7
const most = 300

/** Starts a group, measures all sizes in it, and tells each one. Rejects where a sum is wrong. */
export async function measureAllReduce(
  { hosts, workers, sizes, iterations, collective }: AllReduceSettings,
  each: (figures: AllReduceFigures) => void,
): Promise<AllReduceFigures[]> {
  const group = await AllReduceGroup.start(hosts, workers, Math.max(...sizes), collective)
  const all: AllReduceFigures[] = []
  try {
    for (const bytes of sizes) {
      const count = iterations ?? Math.min(most, Math.max(fewest, Math.floor(bytesPerSize / bytes)))
      const ranks = await group.measure(bytes, count)
      for (const [rank, { wrong }] of ranks.entries())
        if (wrong !== null)
          throw new RingleaderError('wrong-sum', `all-reduce of ${sizeName(bytes)}, rank ${rank}: ${wrong}`)
      const figures = {
        ...{ worldSize: workers, by: ranks[0]?.by ?? 'communication', bytes, ...collective },
        sentBytes: ranks[0]?.sentBytes ?? 0,
        ...figuresOf(
          workers,
          bytes,
          ranks.map(({ seconds }) => seconds),
        ),
      }
      each(figures)
      all.push(figures)
    }
  } finally {
    await group.close()
  }
  return all
}

type Times = Omit<AllReduceFigures, 'worldSize' | 'by' | 'bytes' | 'sentBytes' | keyof CollectiveOptions>

function figuresOf(workers: number, bytes: number, secondsOfRanks: readonly (readonly number[])[]): Times {
  const first = secondsOfRanks[0] ?? []
  const slowest = first.map((_, index) => Math.max(...secondsOfRanks.map((seconds) => seconds[index] ?? 0)))
  const algbwGBps = bytes / median(first) / 1e9
  return {
    iterations: first.length,
    medianMs: rounded(median(first) * 1000),
    minMs: rounded(quantile(first, 0) * 1000),
    p99Ms: rounded(quantile(first, 0.99) * 1000),
    slowestRankMs: rounded(median(slowest) * 1000),
    algbwGBps: rounded(algbwGBps),
    busbwGBps: rounded((algbwGBps * 2 * (workers - 1)) / workers),
  }
}
