import { closeSync, existsSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
import { limits } from '../../shared/core/limits.ts'

const head = '[\n'
const end = '\n]\n'

/**
 * trace.json: an array of events, one a line, that is whole after every write: what is added is written over its end. Whatever
 * kills this process, the events before are there; at worst the array is cut off, which viewers accept, and the next
 * coordinator goes on behind the last whole line. At `limits.traceBytes` it is full.
 */
export class TraceFile {
  readonly #path: string
  /** Bytes before `end`; null: not looked at yet. */
  #length: number | null = null

  constructor(path: string) {
    this.#path = path
  }

  /** Adds events, each a JSON object; false where the file is full. Throws where the disk is; nothing is added then. */
  append(events: readonly string[]): boolean {
    if (events.length === 0) return true
    const length = this.#length ?? this.#open()
    const comma = length > head.length ? ',\n' : ''
    const bytes = Buffer.from(`${comma}${events.join(',\n')}${end}`)
    if (length + bytes.byteLength > limits.traceBytes) return false
    const file = openSync(this.#path, 'r+')
    try {
      for (let written = 0; written < bytes.byteLength; )
        written += writeSync(file, bytes, written, bytes.byteLength - written, length + written)
      this.#length = length + bytes.byteLength - end.length
      return true
    } finally {
      closeSync(file)
    }
  }

  #open(): number {
    const there = existsSync(this.#path) ? readFileSync(this.#path, 'utf8') : ''
    const whole = Math.max(there.lastIndexOf('},\n'), there.lastIndexOf('}\n')) + 1
    const length = there.startsWith(head) && whole > 0 ? Buffer.byteLength(there.slice(0, whole)) : 0
    if (length > 0) truncateSync(this.#path, length)
    else {
      const file = openSync(this.#path, 'w')
      writeSync(file, head)
      closeSync(file)
    }
    this.#length = length || head.length
    return this.#length
  }
}
