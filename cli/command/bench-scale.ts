import { type Algorithm, algorithms } from '../../shared/collective/algorithm.ts'
import { usage } from '../../shared/core/config.ts'
import { exitCode } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { jsonLinesFlag, rateOf, timeOf } from '../bench/bench-flags.ts'
import { measuredStep } from '../bench/measured-step.ts'
import { plotCurves, writePlot } from '../bench/plot.ts'
import { type MeasuredStep, type ScaleFigures, scaleFigures, scaleHeading, scaleLine } from '../bench/scale.ts'
import { bytesOf, sizeName } from '../bench/sizes.ts'
import type { Command } from '../parse.ts'
import type { LinkModel } from '../simulation/link-model.ts'
import { wholeNumber } from '../values.ts'

export const benchScaleCommand: Command = {
  name: 'bench scale',
  summary: 'the all-reduce of up to 1,024 ranks over links of your choice, simulated, and the steps that follow',
  example: 'ringleader bench scale --ranks 8,64,256 --latency 50us --bandwidth 1.2GB/s --bytes 44M',
  flags: {
    ranks: { type: 'string', describe: 'numbers of ranks', default: '2,4,8,16,32,64,128,256' },
    bytes: { type: 'string', describe: 'bytes of the bucket', default: '44M' },
    algorithms: { type: 'string', describe: `some of ${algorithms.join(', ')} (default: all)` },
    latency: { type: 'string', describe: 'of a link, one way', default: '50us' },
    bandwidth: { type: 'string', describe: 'of a host to and from the network, each way', default: '1.2GB/s' },
    'message-cost': { type: 'string', describe: 'processor time of a message, at each end', default: '10us' },
    'sum-rate': { type: 'string', describe: 'bytes that a rank brings in and adds', default: '5GB/s' },
    'ranks-per-host': { type: 'number', describe: 'ranks that share the bandwidth of a host', default: 1 },
    'local-latency': { type: 'string', describe: 'within a host', default: '10us' },
    'local-bandwidth': { type: 'string', describe: 'within a host, of each rank', default: '4GB/s' },
    measured: { type: 'string', describe: 'FILE with lines of bench step --json: tells the time of a step too' },
    reductions: { type: 'number', describe: 'with --measured: all-reduces of --bytes in a step (default: 1)' },
    plot: { type: 'string', describe: 'FILE.svg for a picture: milliseconds over ranks' },
    json: jsonLinesFlag,
  },
  async run(parsed) {
    const ranks = String(parsed.ranks)
      .split(',')
      .map((part) => wholeNumber('ranks', part === '' ? part : Number(part), 2, limits.maxWorkers))
    const bytes = bytesOf(String(parsed.bytes))
    if (bytes === null) throw usage(`--bytes ${String(parsed.bytes)}: write a multiple of 4, such as 4096 or 44M`)
    const chosen = algorithmsOf(parsed.algorithms)
    const links = linksOf(parsed)
    const measured = measuredOf(parsed)
    const json = parsed.json === true
    if (!json) process.stdout.write(scaleHeading(bytes, measured))
    const all: ScaleFigures[] = []
    for (const worldSize of ranks)
      for (const algorithm of chosen) {
        const figures = await scaleFigures(algorithm, worldSize, bytes, links, measured)
        if (!figures) {
          process.stderr.write(`ringleader: ${algorithm} on ${worldSize} ranks has too many messages: left out\n`)
          continue
        }
        process.stdout.write(json ? `${JSON.stringify(figures)}\n` : scaleLine(figures))
        all.push(figures)
      }
    if (parsed.plot !== undefined) writePlot(String(parsed.plot), plotted(chosen, all, bytes))
    return exitCode.ok
  },
}

function plotted(chosen: readonly Algorithm[], all: readonly ScaleFigures[], bytes: number): string {
  const curves = chosen.map((name) => ({
    name,
    points: all.filter(({ algorithm }) => algorithm === name).map(({ worldSize, ms }) => ({ x: worldSize, y: ms })),
  }))
  return plotCurves(curves, { title: `all-reduce of ${sizeName(bytes)}, ms`, xTitle: 'ranks', xName: String })
}

function algorithmsOf(value: unknown): readonly Algorithm[] {
  if (value === undefined) return algorithms
  return String(value)
    .split(',')
    .map((part) => {
      const name = algorithms.find((algorithm) => algorithm === part)
      if (name) return name
      throw usage(`--algorithms ${part} is unknown; write some of ${algorithms.join(', ')}`)
    })
}

function linksOf(parsed: Readonly<Record<string, unknown>>): LinkModel {
  return {
    latencyMs: timeOf('latency', parsed.latency),
    bytesPerMs: rateOf('bandwidth', parsed.bandwidth),
    messageMs: timeOf('message-cost', parsed.messageCost),
    sumBytesPerMs: rateOf('sum-rate', parsed.sumRate),
    ranksPerHost: wholeNumber('ranks-per-host', parsed.ranksPerHost, 1, limits.maxWorkers),
    local: {
      latencyMs: timeOf('local-latency', parsed.localLatency),
      bytesPerMs: rateOf('local-bandwidth', parsed.localBandwidth),
    },
  }
}

function measuredOf({ measured, reductions }: Readonly<Record<string, unknown>>): MeasuredStep | null {
  if (measured !== undefined)
    return { ...measuredStep(String(measured)), reductions: wholeNumber('reductions', reductions ?? 1, 1, 1000) }
  if (reductions !== undefined) throw usage('--reductions goes with --measured; leave it out')
  return null
}
