import { readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { messageOf, usage } from '../core/errors.ts'
import { limits } from '../core/limits.ts'

/** Paths of the files with these endings in a folder and the folders below it, in the order of their names; hidden ones are left out. */
export function filesBelow(folder: string, endings: readonly string[]): string[] {
  let entries: string[]
  try {
    entries = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  } catch (error) {
    throw usage(`--data-dir ${folder}: ${messageOf(error)}; write a folder with ${endings.join(', ')} files`)
  }
  const names = entries.filter((name) => endings.includes(extname(name).toLowerCase()) && !/(^|[\\/])\./.test(name))
  if (names.length === 0)
    throw usage(`--data-dir ${folder}: no ${endings.join(', ')} files in it; write a folder that has some`)
  if (names.length > limits.datasetFiles)
    throw usage(`--data-dir ${folder}: ${names.length} files; write a folder with ${limits.datasetFiles} or less`)
  return names.sort((a, b) => (a < b ? -1 : 1)).map((name) => join(folder, name))
}

/** A file of a data set, whole. */
export function readDatasetFile(path: string): Uint8Array {
  try {
    const { size } = statSync(path)
    if (size > limits.datasetFileBytes) throw new Error(`${size} bytes are more than ${limits.datasetFileBytes}`)
    return readFileSync(path)
  } catch (error) {
    throw usage(`${path} cannot be read (${messageOf(error)}); mend it or take it out of the folder`)
  }
}

/** One in ten is for tests, spread evenly; of fewer than ten the last one. */
export function splitOff<T>(all: readonly T[]): { train: T[]; test: T[] } {
  const forTests = (index: number) => (all.length < 10 ? index === all.length - 1 : index % 10 === 9)
  return { train: all.filter((_, index) => !forTests(index)), test: all.filter((_, index) => forTests(index)) }
}

/** Refuses what would not fit into memory; `smaller` says what to do about it. */
export function checkDatasetBytes(bytes: number, smaller: string): void {
  if (bytes > limits.datasetBytes)
    throw usage(`the data set would take ${(bytes / 2 ** 30).toFixed(1)} GiB of memory; ${smaller}`)
}
