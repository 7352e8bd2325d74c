import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeFolder } from '../core/atomic-file.ts'
import { limits } from '../core/limits.ts'

/**
 * A log on the disk that stays small: a full file becomes `NAME.old.jsonl`, in place of the one before. Written at once, so
 * that the last words before a crash are there. What finds no room on the disk is lost: a run does not depend on its log.
 */
export class LogFile {
  readonly #path: string
  readonly #maxBytes: number
  #file: number | null = null
  #bytes = 0

  /** `path` ends in .jsonl; lines are added to what is there. */
  constructor(path: string, maxBytes: number = limits.logBytes) {
    this.#path = path
    this.#maxBytes = maxBytes
  }

  /** A line with its line break. */
  write(line: string): void {
    try {
      const bytes = Buffer.from(line)
      if (this.#bytes > 0 && this.#bytes + bytes.byteLength > this.#maxBytes) this.#turn()
      this.#file ??= this.#open()
      this.#bytes += writeSync(this.#file, bytes)
    } catch {
      this.close() // opened anew with the next line
    }
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file)
    this.#file = null
  }

  #open(): number {
    makeFolder(dirname(this.#path))
    const file = openSync(this.#path, 'a')
    this.#bytes = fstatSync(file).size
    return file
  }

  #turn(): void {
    this.close()
    renameSync(this.#path, this.#path.replace(/\.jsonl$/, '.old.jsonl'))
    this.#bytes = 0
  }
}
