import { exitCode } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { jsonLinesFlag } from '../bench/bench-flags.ts'
import { type LoadFigures, measureCoordinator } from '../bench/coordinator-load.ts'
import { row } from '../bench/table.ts'
import type { Command } from '../parse.ts'
import { wholeNumber } from '../values.ts'

export const benchCoordinatorCommand: Command = {
  name: 'bench coordinator',
  summary: 'what a coordinator of many workers costs: joins, heartbeats, a mass failure',
  example: 'ringleader bench coordinator --workers 100,1000',
  flags: {
    workers: {
      type: 'string',
      describe: 'connections, all from one process; several numbers with commas',
      default: '1000',
    },
    seconds: { type: 'number', describe: 'seconds of heartbeats, and of commits', default: 10 },
    json: jsonLinesFlag,
  },
  async run(parsed) {
    const counts = String(parsed.workers)
      .split(',')
      .map((part) => wholeNumber('workers', part === '' ? part : Number(part), 4, limits.maxWorkers))
    const seconds = wholeNumber('seconds', parsed.seconds, 1, 600)
    const json = parsed.json === true
    if (!json) process.stdout.write(`${''.padEnd(24)}${row(['workers', 'ms', 'cpu ms', 'cores'])}`)
    for (const count of counts)
      await measureCoordinator(count, seconds, (figures) =>
        process.stdout.write(json ? `${JSON.stringify(figures)}\n` : line(figures)),
      )
    return exitCode.ok
  },
}

function line({ workers, phase, ms, cpuMs, cores }: LoadFigures): string {
  return `${phase.padEnd(24)}${row([workers, ms, cpuMs, cores])}`
}
