import { basename, extname, join, resolve } from 'node:path'
import { resolveConfig, usage } from '../../shared/core/config.ts'
import { exitCode, RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { writePlot } from '../bench/plot.ts'
import { backendFlag, checkedBackend } from '../device.ts'
import { withModelFile } from '../model-file.ts'
import { chosenBackend } from '../native-setup.ts'
import type { Command } from '../parse.ts'
import { faultTimeout, faultTimeoutFlag, jsonFlag, runRequest } from '../run-options.ts'
import { checkObjective, goalOf } from '../sweep/objective.ts'
import { Sweep, type Trial } from '../sweep/sweep.ts'
import { readSweepFile, type SweepFile } from '../sweep/sweep-file.ts'
import { sweepPlot } from '../sweep/sweep-plot.ts'
import { ranked, sweepTable } from '../sweep/sweep-table.ts'
import { type TrialValues, trialsOf } from '../sweep/trials.ts'
import { wholeNumber } from '../values.ts'
import { checkedThreads, threadsFlag } from './worker.ts'

export const sweepCommand: Command = {
  name: 'sweep',
  summary: 'many trainings over a grid or a random search of options, one after the other',
  example: 'ringleader sweep learning-rate.yaml --workers 2',
  positional: { name: 'file', describe: 'YAML or JSON file with the objective, the options and the search' },
  flags: {
    out: { type: 'string', describe: 'folder of the trials (default: sweeps/NAME_OF_THE_FILE)' },
    workers: { type: 'number', describe: 'worker processes on this host', default: 2 },
    backend: backendFlag,
    threads: { ...threadsFlag, describe: 'threads of each worker (default: the cores, shared out)' },
    'fault-timeout': faultTimeoutFlag,
    json: { ...jsonFlag, describe: 'print one JSON object on stdout instead of the table' },
  },
  async run(parsed) {
    const [file, ...more] = Array.isArray(parsed.file) ? parsed.file.map(String) : []
    if (file === undefined || more.length > 0)
      throw usage('write one file, such as ringleader sweep learning-rate.yaml; docs/sweep.md shows what stands in it')
    const workers = wholeNumber('workers', parsed.workers, 1, limits.maxLocalWorkers)
    const threads = parsed.threads === undefined ? null : checkedThreads(parsed.threads, 1)
    const sweep = readSweepFile(file)
    const trials = await checkedTrials(file, sweep, workers, threads)
    const goal = goalOf(sweep.objective, sweep.goal)
    const folder = resolve(String(parsed.out ?? join('sweeps', basename(file, extname(file)))))
    const backend = await chosenBackend(checkedBackend(parsed.backend))
    const tell = (line: string) => void process.stderr.write(`${line}\n`)
    const settings = { from: file, folder, objective: sweep.objective, goal, trials, backend, workers, threads, tell }
    const running = new Sweep({ ...settings, faultMs: faultTimeout(parsed) })
    const { interrupted } = await running.run()
    const results = ranked(running.results, goal)
    const best = results[0]?.value == null ? null : results[0]
    const plot = join(folder, 'plot.svg')
    writePlot(plot, sweepPlot(sweep.objective, sweep.search, results, best))
    const { objective } = sweep
    process.stdout.write(
      parsed.json === true
        ? `${JSON.stringify({ objective, goal, best: best?.trial ?? null, trials: results, plot })}\n`
        : `${sweepTable(objective, results)}${bestLine(best)}picture: ${plot}\n`,
    )
    if (interrupted) tell(`ringleader: stopped; the same command goes on with trial ${next(running)}`)
    return interrupted ? exitCode.interrupted : best ? exitCode.ok : exitCode.failed
  },
}

const bestLine = (best: { readonly trial: number; readonly runDir: string } | null): string =>
  best ? `best: trial ${best.trial} in ${best.runDir}\n` : 'no trial was completed\n'

const next = ({ results }: Sweep): number =>
  results.find(({ status }) => status === 'interrupted' || status === 'waiting')?.trial ?? results.length

/** All trials with whole, sound options, before any of them is begun. */
async function checkedTrials(
  file: string,
  sweep: SweepFile,
  workers: number,
  threads: number | null,
): Promise<Trial[]> {
  const all = trialsOf(sweep, limits.sweepTrials)
  if (!all)
    throw usage(
      sweep.method === 'grid'
        ? `${file}: the grid has more than ${limits.sweepTrials} trials; write fewer values, or method: random`
        : `${file}: trials: ${sweep.trials}: there are not so many different ones; write fewer, or method: grid`,
    )
  const trials: Trial[] = []
  for (const [index, values] of all.entries()) {
    try {
      trials.push(await checkedTrial(file, sweep, index + 1, values, { workers, threads }))
    } catch (error) {
      if (!(error instanceof RingleaderError) || error.message.startsWith(file)) throw error
      throw usage(`${file}: trial ${index + 1}: ${error.message}`)
    }
  }
  return trials
}

async function checkedTrial(
  file: string,
  { options, objective }: SweepFile,
  number: number,
  values: TrialValues,
  { workers, threads }: { workers: number; threads: number | null },
): Promise<Trial> {
  const camel = (flag: string) => flag.replace(/-./g, (pair) => pair.charAt(1).toUpperCase())
  const given = Object.entries({ ...options, ...values }).map(([flag, value]) => [camel(flag), value])
  const parsed = await withModelFile(Object.fromEntries(given))
  const bound = parsed.reproducible === true && threads !== null ? { threads } : {}
  const request = runRequest(parsed, false, { minWorkers: 1, maxWorkers: workers, ...bound })
  checkObjective(file, objective, resolveConfig(request.options).description)
  return { number, values, request }
}
