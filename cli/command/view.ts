import { openShownRun } from '../../coordinator/http/finished-run.ts'
import { openHttpServer } from '../../coordinator/http/server.ts'
import { usage } from '../../shared/core/config.ts'
import type { Command } from '../parse.ts'
import { onInterrupt } from '../process/interrupt.ts'
import { wholeNumber } from '../values.ts'

/** Beside each other on a screen; more are nothing to look at. */
const maxRuns = 8

export const viewCommand: Command = {
  name: 'view',
  summary: 'the page of runs that are over, beside each other',
  example: 'ringleader view runs/RUN_ID runs/OTHER_RUN_ID',
  positional: { name: 'folders', describe: 'folders of runs' },
  flags: { port: { type: 'number', describe: 'port at 127.0.0.1; 0: any free one', default: 0 } },
  async run(parsed) {
    const port = wholeNumber('port', parsed.port, 0, 65_535)
    const folders = (parsed.folders as unknown[] | undefined)?.map(String) ?? []
    if (folders.length === 0) throw usage('write the folder of a run, such as ringleader view runs/RUN_ID')
    if (folders.length > maxRuns) throw usage(`${folders.length} folders: write ${maxRuns} at most`)
    const server = await openHttpServer('127.0.0.1', port, {
      metrics: null,
      actions: null,
      runs: folders.map(openShownRun),
    })
    process.stdout.write(`page at http://${server.address}/\n`)
    return new Promise(() => onInterrupt(() => void server.close())) // until Ctrl-C
  },
}
