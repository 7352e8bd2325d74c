import { pruneRun } from '../../coordinator/checkpoint/prune-run.ts'
import { usage } from '../../shared/core/config.ts'
import { exitCode } from '../../shared/core/errors.ts'
import { parsePruning } from '../../shared/core/prune-options.ts'
import type { Command } from '../parse.ts'

export const pruneCommand: Command = {
  name: 'prune',
  summary: 'a smaller model: a new run whose dense layers have fewer units, to generate from or to train on',
  example: 'ringleader prune runs/RUN_ID --units 0.5 --out runs/smaller',
  positional: {
    name: 'from',
    describe: 'folder of a run, of which it takes the newest checkpoint, or of a checkpoint',
  },
  flags: {
    units: {
      type: 'string',
      describe: 'part of the units that goes: 0.5, or by network or layer, generator=0.5,encoder/dense0=0.2',
      demandOption: true,
    },
    out: { type: 'string', describe: 'folder of the new run', demandOption: true },
  },
  async run(parsed) {
    const [from, ...more] = Array.isArray(parsed.from) ? parsed.from.map(String) : []
    if (from === undefined || more.length > 0)
      throw usage('prune: write one folder of a run or of a checkpoint, such as runs/RUN_ID')
    const { folder, parameters } = pruneRun(from, String(parsed.out), parsePruning('units', parsed.units))
    const part = ((100 * parameters.after) / parameters.before).toFixed(1)
    process.stderr.write(`${parameters.after} of ${parameters.before} numbers (${part} %) in ${folder}\n`)
    return exitCode.ok
  },
}
