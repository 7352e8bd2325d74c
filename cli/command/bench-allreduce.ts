import { usage } from '../../shared/core/config.ts'
import { exitCode } from '../../shared/core/errors.ts'
import { version } from '../../shared/core/version.ts'
import { comparedSizes, type SizeComparison, toldSizes } from '../bench/all-reduce-comparison.ts'
import { jsonLinesFlag, type Peer, peerFlags, peerOf, tellRound, worldSizesOf } from '../bench/bench-flags.ts'
import { type BenchHosts, openHosts, thisHost } from '../bench/bench-hosts.ts'
import { collectiveFlags, collectiveOptions } from '../bench/collective-options.ts'
import { type AllReduceFigures, type AllReduceSettings, measureAllReduce } from '../bench/measure-all-reduce.ts'
import { type PlotLine, plotBandwidth, writePlot } from '../bench/plot.ts'
import { alternate } from '../bench/rounds.ts'
import { bucketSizes, sizeName } from '../bench/sizes.ts'
import { row } from '../bench/table.ts'
import type { Command } from '../parse.ts'
import { wholeNumber } from '../values.ts'
import { meetingPoint } from './bench-worker.ts'

export const benchAllReduceCommand: Command = {
  name: 'bench allreduce',
  summary: 'latency and bandwidth of the all-reduce between worker processes',
  example: 'ringleader bench allreduce --workers 2 --sizes 4,4096,1M,44M',
  flags: {
    workers: { type: 'string', describe: 'worker processes; several numbers with commas between them', default: '2' },
    sizes: { type: 'string', describe: 'bytes of a bucket, such as 4,4096,1M (default: from 4 to 256M)' },
    ...collectiveFlags,
    bind: { type: 'string', describe: 'with --remote: address at which the other hosts reach this one' },
    remote: { type: 'number', describe: 'how many of the workers join from other hosts, by `ringleader bench worker`' },
    'connect-timeout': { type: 'number', describe: 'with --remote: seconds to wait for them', default: 60 },
    iterations: { type: 'number', describe: 'measured reductions of each size (default: 7 to 300, by the size)' },
    plot: { type: 'string', describe: 'FILE.svg for a picture: bus bandwidth over size' },
    ...peerFlags,
    json: jsonLinesFlag,
  },
  async run(parsed) {
    const worldSizes = worldSizesOf(parsed.workers, 2)
    const peer = peerOf(parsed, worldSizes)
    const iterations = parsed.iterations === undefined ? null : wholeNumber('iterations', parsed.iterations, 1, 100_000)
    const collective = collectiveOptions(parsed)
    const all = worldSizes.map((workers) => ({ workers, sizes: bucketSizes(parsed.sizes, workers) }))
    const json = parsed.json === true
    const lines: PlotLine[] = []
    const hosts = await hostsOf(parsed, Math.min(...worldSizes))
    try {
      for (const group of all) {
        const settings = { ...group, hosts, iterations, collective }
        lines.push(...(peer ? await compare(settings, peer, json) : [await measure(settings, json)]))
      }
    } finally {
      await hosts.close()
    }
    if (parsed.plot !== undefined) writePlot(String(parsed.plot), plotBandwidth(lines))
    return exitCode.ok
  },
}

async function hostsOf(parsed: Readonly<Record<string, unknown>>, workers: number): Promise<BenchHosts> {
  if (parsed.remote === undefined) {
    if (parsed.bind !== undefined) throw usage('--bind goes with --remote; write how many workers join')
    return thisHost
  }
  const remote = wholeNumber('remote', parsed.remote, 1, workers)
  if (parsed.bind === undefined) throw usage('--remote goes with --bind; write an address such as tcp://10.0.0.1:7127')
  const timeoutMs = 1000 * wholeNumber('connect-timeout', parsed.connectTimeout, 1, 86_400)
  return openHosts(meetingPoint('bind', String(parsed.bind)), remote, { version: version(), timeoutMs })
}

async function measure(settings: AllReduceSettings, json: boolean): Promise<PlotLine> {
  if (!json) process.stdout.write(heading(settings))
  const points = await measureAllReduce(settings, (figures) =>
    process.stdout.write(json ? `${JSON.stringify(figures)}\n` : line(figures)),
  )
  return { name: nameOf(settings), points }
}

async function compare(settings: AllReduceSettings, peer: Peer, json: boolean): Promise<PlotLine[]> {
  const ours = () => measureAllReduce(settings, () => {})
  const rounds = await alternate(peer.rounds, ours, peer.run, tellRound('ours', 'peer', peer.rounds))
  const sizes = comparedSizes(rounds.map(({ leftFirst, left, right }) => ({ leftFirst, ours: left, peer: right })))
  const text = json ? sizes.map((size) => `${JSON.stringify(size)}\n`).join('') : toldSizes(nameOf(settings), sizes)
  process.stdout.write(text)
  const points = (of: (size: SizeComparison) => number) =>
    sizes.map((size) => ({ bytes: size.bytes, busbwGBps: of(size) }))
  return [
    { name: nameOf(settings), points: points(({ busbwGBps }) => busbwGBps) },
    { name: sizes[0]?.peer ?? 'peer', points: points(({ peerBusbwGBps }) => peerBusbwGBps) },
  ]
}

function nameOf({ workers, collective }: AllReduceSettings): string {
  const { algorithm, wire, compression } = collective
  return `${workers} workers, ${algorithm} over ${wire}${compression === 'none' ? '' : `, ${compression}`}`
}

function heading(settings: AllReduceSettings): string {
  const columns = ['bytes', 'median µs', 'min µs', 'p99 µs', 'algbw GB/s', 'busbw GB/s', 'iterations']
  return `all-reduce, ${nameOf(settings)}\n${row(columns)}`
}

function line({ bytes, medianMs, minMs, p99Ms, algbwGBps, busbwGBps, iterations }: AllReduceFigures): string {
  const microseconds = [medianMs, minMs, p99Ms].map((ms) => (ms * 1000).toFixed(0))
  return row([sizeName(bytes), ...microseconds, algbwGBps.toFixed(4), busbwGBps.toFixed(4), iterations])
}
