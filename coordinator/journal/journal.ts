import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { makeFolder, syncFolder } from '../../shared/core/atomic-file.ts'
import { exitCode, RingleaderError } from '../../shared/core/errors.ts'
import { limits } from '../../shared/core/limits.ts'
import { type JournalRecord, journalRecordSchema, type Snapshot } from './journal-record.ts'

/**
 * What a coordinator has to know again after a crash, as records of a line each: CRC-32 of the text, a space, the text
 * (JSON). A segment begins with a snapshot; a new one replaces those before, so the journal stays small. What a crash cut
 * off at the end is dropped; damage anywhere else is an error.
 */
export class Journal {
  readonly #folder: string
  #descriptor: number
  #number: number
  #bytes = 0
  #dirty = false

  /** Begins a new segment with the snapshot, and drops the ones before. */
  constructor(folder: string, snapshot: Snapshot) {
    this.#folder = folder
    makeFolder(folder)
    this.#number = segments(folder).at(-1) ?? 0
    this.#descriptor = this.#begin(snapshot)
  }

  /** On disk after the next `sync`. */
  append(record: JournalRecord): void {
    this.#bytes += writeLine(this.#descriptor, record)
    this.#dirty = true
  }

  sync(): void {
    if (this.#dirty) fsyncSync(this.#descriptor)
    this.#dirty = false
  }

  /** True once a new snapshot would make it smaller. */
  get full(): boolean {
    return this.#bytes > limits.journalSegmentBytes
  }

  compact(snapshot: Snapshot): void {
    const old = this.#descriptor
    this.#descriptor = this.#begin(snapshot)
    closeSync(old)
  }

  close(): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor)
    this.#descriptor = -1
  }

  /** The run is over: there is nothing to take over. */
  remove(): void {
    this.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #begin(snapshot: Snapshot): number {
    const before = segments(this.#folder)
    this.#number++
    const path = join(this.#folder, segmentName(this.#number))
    const descriptor = openSync(path, 'w')
    try {
      this.#bytes = writeLine(descriptor, snapshot)
      fsyncSync(descriptor)
    } catch (error) {
      closeSync(descriptor)
      rmSync(path, { force: true })
      throw error
    }
    syncFolder(this.#folder)
    for (const number of before) rmSync(join(this.#folder, segmentName(number)), { force: true })
    return descriptor
  }
}

function writeLine(descriptor: number, record: JournalRecord): number {
  const text = JSON.stringify(record)
  const line = Buffer.from(`${checksum(text)} ${text}\n`)
  for (let written = 0; written < line.byteLength; )
    written += writeSync(descriptor, line, written, line.byteLength - written)
  return line.byteLength
}

/** The records of the newest segment that is whole from its start; null where there is no journal. */
export function readJournal(folder: string): [Snapshot, ...JournalRecord[]] | null {
  for (const number of segments(folder).reverse()) {
    const path = join(folder, segmentName(number))
    const [first, ...rest] = readSegment(path)
    if (first?.kind === 'snapshot') return [first, ...rest]
  }
  return null
}

function readSegment(path: string): JournalRecord[] {
  const text = readFileSync(path, 'utf8')
  const records: JournalRecord[] = []
  let position = 0
  while (position < text.length) {
    const end = text.indexOf('\n', position)
    const record = end < 0 ? null : parseLine(text.slice(position, end))
    if (record) records.push(record)
    else if (end < 0 || end === text.length - 1) break
    else
      throw new RingleaderError(
        'journal-corrupt',
        `${path} is damaged at byte ${Buffer.byteLength(text.slice(0, position))}; remove the folder journal to go on from the last checkpoint`,
        { exit: exitCode.config },
      )
    position = end + 1
  }
  if (position < text.length) truncateSync(path, Buffer.byteLength(text.slice(0, position)))
  return records
}

function parseLine(line: string): JournalRecord | null {
  const text = line.slice(9)
  if (line.slice(0, 8) !== checksum(text)) return null
  const result = journalRecordSchema.safeParse(JSON.parse(text))
  return result.success ? result.data : null
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

const segmentName = (number: number): string => `${String(number).padStart(8, '0')}.log`

function segments(folder: string): number[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .flatMap((name) => (/^\d{8}\.log$/.test(name) ? [Number.parseInt(name, 10)] : []))
    .sort((a, b) => a - b)
}
