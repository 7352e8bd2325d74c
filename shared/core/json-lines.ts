import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'

/** More than two lines of metrics. */
const tailBytes = 16_384

/** All objects of a file with one on each line; none where there is no file. */
export function readJsonLines(path: string): Record<string, unknown>[] {
  if (!existsSync(path)) return []
  const text = readFileSync(path, 'utf8')
  return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Record<string, unknown>]))
}

/** The last line that is whole, read from the end of the file alone; `torn`: there is the beginning of another one. */
export function lastLine(path: string): { line: string | undefined; torn: boolean; file: string } {
  const descriptor = openSync(path, 'r')
  try {
    const { size, ino } = fstatSync(descriptor)
    const tail = Buffer.alloc(Math.min(size, tailBytes))
    readSync(descriptor, tail, 0, tail.byteLength, size - tail.byteLength)
    const lines = tail.toString('utf8').split('\n')
    return { line: lines.at(-2), torn: lines.at(-1) !== '', file: `${ino}/${size}` }
  } finally {
    closeSync(descriptor)
  }
}
