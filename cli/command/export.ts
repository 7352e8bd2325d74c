import { createWriteStream, existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Writable } from 'node:stream'
import { LineTail } from '../../coordinator/http/line-tail.ts'
import { usage } from '../../shared/core/config.ts'
import { exitCode, messageOf, RingleaderError } from '../../shared/core/errors.ts'
import type { Command } from '../parse.ts'

export const exportCommand: Command = {
  name: 'export',
  summary: "a run's metrics in a form for other programs",
  example: 'ringleader export runs/RUN_ID --csv --out metrics.csv',
  positional: { name: 'folders', describe: 'folder of one run' },
  flags: {
    csv: { type: 'boolean', describe: 'comma-separated values: a line per step, a column per figure', default: false },
    out: { type: 'string', describe: 'file to write (default: stdout)' },
  },
  async run(parsed) {
    const folders = (parsed.folders as unknown[] | undefined)?.map(String) ?? []
    const [folder] = folders
    if (folder === undefined || folders.length > 1)
      throw usage('write the folder of one run, such as ringleader export runs/RUN_ID --csv')
    if (parsed.csv !== true) throw usage('write --csv; there is no other form yet')
    const path = join(folder, 'metrics.jsonl')
    if (!existsSync(path))
      throw usage(`${folder}: there is no metrics.jsonl; write the folder of a run, such as runs/RUN_ID`)
    if (typeof parsed.out !== 'string') {
      await writeCsv(path, process.stdout)
      return exitCode.ok
    }
    const file = createWriteStream(parsed.out)
    const written = new Promise<void>((resolve, reject) => {
      file.once('finish', resolve).once('error', (error) =>
        reject(
          new RingleaderError(
            'export',
            `cannot write ${String(parsed.out)}: ${messageOf(error)}; write another --out`,
            {
              cause: error,
              exit: exitCode.failed,
            },
          ),
        ),
      )
    })
    await Promise.race([writeCsv(path, file), written])
    file.end()
    await written
    return exitCode.ok
  },
}

/** Reads the file twice, so that it need not fit into memory: first for the columns, which need not be in every line. */
async function writeCsv(path: string, output: Writable): Promise<void> {
  const columns = new Set<string>()
  await new LineTail(path).read(
    (line) => {
      for (const name of Object.keys(flat(line))) columns.add(name)
    },
    () => {},
  )
  output.write(csvLine([...columns]))
  await new LineTail(path).read(
    (line) => {
      const values = flat(line)
      output.write(csvLine([...columns].map((name) => values[name])))
    },
    () => {},
  )
}

/** `phaseSeconds: {forward}` becomes `phaseSeconds.forward`. */
export function flat(line: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const entries = Object.entries(line).flatMap(([name, value]): [string, unknown][] =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.entries(value).map(([inner, each]) => [`${name}.${inner}`, each])
      : [[name, value]],
  )
  return Object.fromEntries(entries)
}

/** A record of RFC 4180. What is missing, or no number because it was not finite, is empty. */
export function csvLine(values: readonly unknown[]): string {
  const cells = values.map((value) => {
    const text =
      value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value)
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  })
  return `${cells.join(',')}\r\n`
}
