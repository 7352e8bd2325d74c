import { writeSync } from 'node:fs'
import type { Log, LogLevel } from '../shared/core/log.ts'
import { logText, parseLogRecord } from '../shared/log/log-record.ts'
import { openStructuredLog } from '../shared/log/structured-log.ts'
import { counter } from './thread-messages.ts'

export interface WorkerLogOptions {
  readonly level: LogLevel
  /** Lines of JSON, for whoever reads them; or text for people, in colours perhaps. */
  readonly format: 'json' | 'text' | 'color'
}

export interface WorkerLog {
  readonly log: Log
  /** The run that this worker belongs to. */
  joins(run: string): void
}

/** What a thread of a worker says, on the stderr of its process; the counters have generation and step for each line. */
export function openWorkerLog({ level, format }: WorkerLogOptions, worker: string, counters: Int32Array): WorkerLog {
  let run: string | null = null
  const context = () => {
    const [generation = 0, step = 0] = [counters[counter.generation], counters[counter.step]]
    return { run, worker, generation, step }
  }
  const log = openStructuredLog({
    level,
    context,
    write(line) {
      const record = format === 'json' ? null : parseLogRecord(line)
      say(record ? `${logText(record, format === 'color')}\n` : line)
    },
  })
  return {
    log,
    joins(name) {
      run = name
    },
  }
}

/** Past Node's streams, which a thread has on its main thread alone. Where nobody reads any more, the line is lost. */
function say(line: string): void {
  try {
    writeSync(2, line)
  } catch {}
}
