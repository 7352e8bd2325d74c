import { join } from 'node:path'
import type { Log, LogLevel } from '../shared/core/log.ts'
import { LogFile } from '../shared/log/log-file.ts'
import { openStructuredLog } from '../shared/log/structured-log.ts'
import type { RunFolder } from './run-folder.ts'

/** Events that an operator wants to see first. */
const grave = new Set([
  'lost',
  'incident',
  'alarm',
  'diverged',
  'skipped',
  'slow',
  'rewound',
  'paused',
  'rollback',
  'backends',
])

/** Of a process of a run: `coordinator`, or a worker's id. */
export function logPath(runFolder: string, name: string): string {
  return join(runFolder, 'logs', `${name}.jsonl`)
}

/** The coordinator's log, in the run's folder: all events, and whatever else it is told. `tell` gets each line too. */
export function openRunLog(folder: RunFolder, run: string, level: LogLevel, tell: (line: string) => void): Log {
  const file = new LogFile(logPath(folder.path, 'coordinator'))
  const at = { generation: 0, step: 0 }
  const log = openStructuredLog({
    level,
    context: () => ({ run, worker: 'coordinator', ...at }),
    write(line) {
      file.write(line)
      tell(line)
    },
  })
  folder.onEvent((kind, fields) => {
    const { generation, step, topology: _, ...rest } = fields as Record<string, unknown>
    if (typeof generation === 'number') at.generation = generation
    if (typeof step === 'number') at.step = step
    log[grave.has(kind) ? 'warn' : 'info'](kind, rest)
  })
  return log
}
