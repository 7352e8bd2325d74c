import { appendFileSync, existsSync, readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeFolder, writeFileAtomic } from '../../shared/core/atomic-file.ts'
import { encodeEvent, type SummaryValue } from './event-message.ts'
import { frameRecord, recordsOf } from './tf-record.ts'

/** Bytes of a message before its step: tag and double of the wall time, and the tag of the step (event-message.ts). */
const beforeStep = 10

/** A TensorBoard event file of one run, over all its sittings: no step is in it twice. */
export class EventFile {
  readonly #path: string
  readonly #maxBytes: number
  #bytes: number

  /** `step`: what is there of later steps goes, since they are computed again. `path` has `tfevents` in its name. */
  constructor(path: string, step: number, maxBytes: number) {
    this.#path = path
    this.#maxBytes = maxBytes
    makeFolder(dirname(path))
    if (existsSync(path)) this.rewind(step)
    else writeFileAtomic(path, frameRecord(encodeEvent({ time: 0, step: 0, version: 'brain.Event:2' })))
    this.#bytes = statSync(path).size
  }

  /** False where the file is full. Throws where the disk is. */
  add(time: number, step: number, values: readonly SummaryValue[]): boolean {
    const bytes = frameRecord(encodeEvent({ time, step, values }))
    if (this.#bytes + bytes.byteLength > this.#maxBytes) return false
    appendFileSync(this.#path, bytes)
    this.#bytes += bytes.byteLength
    return true
  }

  /** Leaves out all that is later than a step, and a record that a crash has cut off. */
  rewind(step: number): void {
    const bytes = readFileSync(this.#path)
    const kept = recordsOf(bytes).filter(({ data }) => stepOf(data) <= step)
    const length = kept.reduce((sum, { whole }) => sum + whole.byteLength, 0)
    if (length < bytes.byteLength) {
      writeFileAtomic(this.#path, Buffer.concat(kept.map(({ whole }) => whole)))
    }
    this.#bytes = length
  }
}

function stepOf(message: Uint8Array): number {
  let step = 0
  for (let index = beforeStep, factor = 1; index < message.byteLength; index++, factor *= 128) {
    const byte = message[index] ?? 0
    step += (byte & 0x7f) * factor
    if (byte < 0x80) break
  }
  return step
}
